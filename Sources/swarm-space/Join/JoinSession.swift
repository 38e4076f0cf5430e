import NIOCore
import NIOPosix
import SwarmEngine
import SwarmSpace

/// Why `join` ends.
enum JoinEnding: Sendable {
    /// The user, a program or a signal said so.
    case asked
    /// No relay and no tracker could be reached at all.
    case refused(String)
}

/// How a person or a program talks to a swarm.
protocol JoinConsole: Sendable {
    /// Says who joined what.
    func begin() async
    /// Says what has happened.
    func report(_ event: SwarmEvent) async
    /// Does what a line of input asks for.
    ///
    /// - Returns: `false` when it asks to leave.
    func take(_ line: ConsoleInput.Line) async -> Bool
    /// Input has ended.
    ///
    /// - Returns: `false` when that means to leave.
    func inputEnded() async -> Bool
    /// Nobody could be reached for a while.
    func stillTrying(_ reason: String) async
    /// The swarm has been left.
    func end() async
}

/// Carries events from a swarm to a console and lines the other way, until it is time to go.
struct JoinSession: Sendable {
    /// The longest line of input: a message of 1 MiB in which JSON escapes every character, and some.
    static let maximumLineLength = 8 << 20
    /// When no relay and no tracker was reached for this long after the start, the network refuses.
    static let patience: Duration = .seconds(30)

    let swarm: Swarm
    let console: any JoinConsole
    let output: ConsoleOutput
    let ending: AsyncStream<JoinEnding>.Continuation

    /// - Returns: why it ended; the swarm is left and everything written.
    func run(until endings: AsyncStream<JoinEnding>) async -> JoinEnding {
        await console.begin()
        let reading = Task { await read() }
        let watching = Task { await watch() }
        listen()
        var end = JoinEnding.asked
        for await reason in endings {
            end = reason
            break
        }
        watching.cancel()
        await swarm.leave()
        // Everything that had come is read and written; but nobody can be made to read what we write.
        await first(of: { await reading.value }, orAfter: .milliseconds(500))
        await console.end()
        await first(of: { await output.written() }, orAfter: .milliseconds(300))
        return end
    }

    private func read() async {
        var count = 0
        for await event in swarm.events {
            await console.report(event)
            count += 1
            // Who reads our output slowly is to be sent less: so the swarm's events wait here, and then the members.
            if count.isMultiple(of: 64) { await output.written() }
        }
    }

    private func listen() {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        ConsoleInput(maximumLineLength: Self.maximumLineLength).start { line in
            // The reader waits, so that lines are done one after another and the rest stays in the pipe.
            let goesOn = try? loop.makeFutureWithTask { await console.take(line) }.wait()
            if goesOn == false { ending.yield(.asked) }
        } onEnd: {
            let goesOn = try? loop.makeFutureWithTask { await console.inputEnded() }.wait()
            if goesOn == false { ending.yield(.asked) }
        }
    }

    /// Ends it all when nothing was reached from the start, and nothing else is left to be found by.
    private func watch() async {
        guard !swarm.trackers.isEmpty || !swarm.relays.isEmpty else { return }
        let start = ContinuousClock.now
        var hasSaidSo = false
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(500))
            let planes = await swarm.status?.planes ?? []
            let servers = planes.filter { $0.kind == .tracker || $0.kind == .relay }
            let isAlone = await swarm.peers.isEmpty
            if !isAlone || servers.contains(where: { $0.latency != nil }) { return }
            guard servers.count >= swarm.trackers.count + swarm.relays.count,
                servers.allSatisfy({ $0.state == .failing })
            else { continue }
            let elapsed = ContinuousClock.now - start
            let reason = servers.map { "\($0.name): \($0.reason ?? "no answer")" }.sorted().joined(separator: "; ")
            let mayBeFound = planes.contains {
                $0.kind == .known || ($0.kind == .lan || $0.kind == .dht) && $0.state == .working
            }
            if elapsed > Self.patience, !mayBeFound {
                ending.yield(
                    .refused("no relay and no tracker can be reached (\(reason)): check the addresses and the network"))
                return
            }
            if elapsed > .seconds(3), !hasSaidSo {
                hasSaidSo = true
                await console.stillTrying(reason)
            }
        }
    }
}

/// Waits for something, but not longer than a while.
private func first(of operation: @escaping @Sendable () async -> Void, orAfter limit: Duration) async {
    let (done, finish) = AsyncStream.makeStream(of: Void.self)
    let work = Task {
        await operation()
        finish.finish()
    }
    let timer = Task {
        try? await Task.sleep(for: limit)
        finish.finish()
    }
    for await _ in done {}
    work.cancel()
    timer.cancel()
}
