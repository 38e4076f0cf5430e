import NIOCore
import NIOPosix
import SwarmBase

@testable import SwarmTransport

/// Runs `body` on a loop and waits for the future it gives; loop-confined objects live in a box that only it opens.
func on<Result: Sendable>(
    _ loop: any EventLoop, _ body: @escaping @Sendable () throws -> EventLoopFuture<Result>
) async throws -> Result {
    try await loop.flatSubmit {
        do { return try body() } catch { return loop.makeFailedFuture(error) }
    }.get()
}

/// Runs `body` on a loop for its value.
func on<Result: Sendable>(_ loop: any EventLoop, _ body: @escaping @Sendable () throws -> Result) async throws -> Result
{
    try await loop.submit(body).get()
}

/// The loop that a test runs on; each test takes the next one of a few.
func nextLoop() -> any EventLoop { MultiThreadedEventLoopGroup.singleton.next() }

/// A value that tests wait for: what callbacks saw so far, and a future that completes when it satisfies a condition.
///
/// Confined to its loop, like what it watches.
final class Observed<Value: Sendable>: Sendable {
    private struct State {
        var values: [Value] = []
        var waiters: [(condition: @Sendable ([Value]) -> Bool, promise: EventLoopPromise<[Value]>)] = []
    }
    private let state: NIOLoopBoundBox<State>
    let loop: any EventLoop

    init(_ loop: any EventLoop) {
        self.loop = loop
        state = .makeBoxSendingValue(State(), eventLoop: loop)
    }

    func add(_ value: Value) {
        state.value.values.append(value)
        let values = state.value.values
        let ready = state.value.waiters.filter { $0.condition(values) }
        state.value.waiters.removeAll { $0.condition(values) }
        for waiter in ready { waiter.promise.succeed(values) }
    }

    /// The values as soon as they satisfy `condition`; fails after `limit`.
    func wait(
        limit: TimeAmount = .seconds(10), until condition: @escaping @Sendable ([Value]) -> Bool
    ) async throws -> [Value] {
        try await loop.flatSubmit { [self] in
            let values = state.value.values
            if condition(values) { return loop.makeSucceededFuture(values) }
            let promise = loop.makePromise(of: [Value].self)
            state.value.waiters.append((condition, promise))
            let timeout = loop.scheduleTask(in: limit) { promise.fail(WaitedTooLong()) }
            promise.futureResult.whenComplete { _ in timeout.cancel() }
            return promise.futureResult
        }.get()
    }

    func wait(count: Int, limit: TimeAmount = .seconds(10)) async throws -> [Value] {
        try await wait(limit: limit) { $0.count >= count }
    }
}

struct WaitedTooLong: Error {}

/// The loopback addresses that this host has: `::1` is missing where IPv6 is turned off.
let loopbackHosts: [String] = {
    let canBindIPv6 = (try? DatagramBootstrap(group: nextLoop()).bind(host: "::1", port: 0).wait()).map { channel in
        channel.close(promise: nil)
        return true
    }
    return canBindIPv6 == true ? ["127.0.0.1", "::1"] : ["127.0.0.1"]
}()
