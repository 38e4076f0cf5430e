import Foundation
import NIOCore
import NIOPosix
import SwarmBase
import SwarmEngine
import SwarmSpace
import Testing

/// A condition did not come true within 20 s.
struct WaitedTooLong: Error {
    var what: String
}

/// Asks again and again, for 20 s at most, until the condition holds.
func until(_ what: String, _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(20)
    while !(try await condition()) {
        guard ContinuousClock.now < deadline else { throw WaitedTooLong(what: what) }
        try await Task.sleep(for: .milliseconds(2))
    }
}

/// A relay on loopback, and the directory in which members of a test keep what is theirs.
struct Stage {
    let relay: NIOLoopBoundBox<Relay?>
    let url: String
    let directory = FileManager.default.temporaryDirectory.appending(path: "swarm-space-\(UUID().uuidString)")

    static func set() async throws -> Stage {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let box = NIOLoopBoundBox<Relay?>.makeEmptyBox(valueType: Relay.self, eventLoop: loop)
        let address = try await loop.flatSubmit {
            let relay = Relay(eventLoop: loop)
            box.value = relay
            return relay.start()
        }.get()
        return Stage(relay: box, url: "ws://\(address)/gun")
    }

    func strike() async {
        try? await relay.eventLoop.flatSubmit { [relay] () -> EventLoopFuture<Void> in
            defer { relay.value = nil }
            return relay.value?.stop() ?? relay.eventLoop.makeSucceededVoidFuture()
        }.get()
        try? FileManager.default.removeItem(at: directory)
    }

    func path(_ name: String) -> String { directory.appending(path: name).path }

    func configuration(_ name: String) -> SwarmConfiguration {
        var configuration = SwarmConfiguration()
        // Swarms of other tests have the same name.
        configuration.usesLocalNetwork = false
        configuration.usesDHT = false
        configuration.name = name
        configuration.relays = [url]
        configuration.includesLoopback = true
        return configuration
    }
}

/// Reads a member's events as they come.
actor Reader {
    let swarm: Swarm
    private(set) var events: [SwarmEvent] = []
    private(set) var hasEnded = false

    init(_ swarm: Swarm) {
        self.swarm = swarm
        Task { await read() }
    }

    private func read() async {
        for await event in swarm.events { events.append(event) }
        hasEnded = true
    }

    nonisolated func waits(for what: String, _ condition: @Sendable (SwarmEvent) -> Bool) async throws {
        try await until(what) { await events.contains(where: condition) }
    }

    nonisolated func meets(_ peer: PeerID) async throws {
        try await waits(for: "a session") { if case .peer(peer, _, _) = $0 { true } else { false } }
    }

    nonisolated func ends() async throws { try await until("the end of the events") { await hasEnded } }

    /// The texts that came from a member, in order.
    func texts(from peer: PeerID) -> [String] {
        events.compactMap { if case .message(peer, .text(let text), _, _) = $0 { text } else { nil } }
    }

    func contents(from peer: PeerID) -> [MessageContent] {
        events.compactMap { if case .message(peer, let content, _, _) = $0 { content } else { nil } }
    }

    /// The numbers of our messages to a member that have arrived.
    func delivered(to peer: PeerID) -> [UInt64] {
        events.compactMap { if case .delivered(peer, let number) = $0 { number } else { nil } }
    }
}
