import Glibc
import NIOCore
import SwarmTransport

/// One connection to the relay that is measured. Knows just enough of GUN's wire to count: a full parser would be measured too.
///
/// Confined to its event loop.
final class LoadClient {
    /// Called with the moment at which each value was written.
    var onValue: ((UInt64) -> Void)?
    /// Called with the number of answers in a frame.
    var onAnswers: ((Int) -> Void)?
    private let connection: WebSocketConnection
    private var batch: [UInt8] = []

    /// Dials; the future is done when it is open.
    static func open(_ url: WebSocketURL, on eventLoop: any EventLoop) -> EventLoopFuture<NIOLoopBound<LoadClient>> {
        let promise = eventLoop.makePromise(of: NIOLoopBound<LoadClient>.self)
        let client = LoadClient(WebSocketConnection(eventLoop: eventLoop))
        client.connection.onOpen = { promise.succeed(NIOLoopBound(client, eventLoop: eventLoop)) }
        client.connection.onClose = { promise.fail($0) }
        client.connection.onMessage = { [weak client] message in client?.receive(message.bytes) }
        client.connection.open(url)
        return promise.futureResult
    }

    private init(_ connection: WebSocketConnection) { self.connection = connection }

    var isOpen: Bool { connection.state == .open }

    func close() { connection.close() }

    /// Writes a value that says when it was written.
    func put(id: Int, soul: String, key: String, state: Double, padding: String = "") {
        send(
            ##"{"#":"\##(name(id))","put":{"\##(soul)":{"_":{"#":"\##(soul)",">":{"\##(key)":\##(state)}},"##
                + ##""\##(key)":"~\##(Self.now)~\##(padding)"}}}"##)
    }

    func get(id: Int, soul: String) { send(##"{"#":"\##(name(id))","get":{"#":"\##(soul)"}}"##) }

    private func send(_ text: String) { connection.send(text: Array(text.utf8)) }

    /// What ids begin with: those of an earlier run may still be remembered.
    private let prefix = String(UInt64.random(in: 0 ... .max), radix: 36)

    /// Ids of one length: to an id some relays add digits, and take another for seen that is the same then (gun.md §5.1).
    private func name(_ id: Int) -> String { "\(prefix)\(1_000_000_000 + id)" }

    /// Nanoseconds of the monotonic clock.
    static var now: UInt64 { clock_gettime_nsec() }

    private static func clock_gettime_nsec() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Finds `"@":` (an answer) and `~digits~` (a value).
    private func receive(_ bytes: [UInt8]) {
        var answers = 0
        var index = 0
        let end = bytes.count
        while index < end {
            switch bytes[index] {
            case UInt8(ascii: "~") where onValue != nil:
                var number: UInt64 = 0
                index += 1
                while index < end, case let digit = bytes[index] &- 0x30, digit < 10 {
                    number = number &* 10 &+ UInt64(digit)
                    index += 1
                }
                if index < end, bytes[index] == UInt8(ascii: "~"), number > 0 { onValue?(number) }
            case UInt8(ascii: "@")
            where index + 2 < end && bytes[index + 1] == UInt8(ascii: "\"") && bytes[index + 2] == UInt8(ascii: ":"):
                // In `ok`, `"@"` is a count and no id.
                if index + 3 < end, bytes[index + 3] == UInt8(ascii: "\"") { answers += 1 }
                index += 3
                continue
            default: break
            }
            index += 1
        }
        if answers > 0 { onAnswers?(answers) }
    }
}
