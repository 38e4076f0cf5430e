import JSON
import Synchronization

/// What two members say to each other: the numbers from 1, one every 20 ms in each direction.
final class ReliabilityTalk: Sendable {
    private struct State {
        var sent = [0, 0]
        var task: Task<Void, Never>?
    }

    private let state = Mutex(State())

    func start(_ members: [BenchProcess], _ ids: [String]) {
        let task = Task { [self] in
            let clock = ContinuousClock()
            var next = clock.now
            while !Task.isCancelled {
                for sender in 0...1 { say(1, from: sender, members, ids) }
                next = max(next + .milliseconds(20), clock.now - .milliseconds(200))
                try? await clock.sleep(until: next)
            }
        }
        state.withLock { $0.task = task }
    }

    /// Says the next numbers.
    func say(_ count: Int, from sender: Int, _ members: [BenchProcess], _ ids: [String]) {
        state.withLock { state in
            for _ in 0..<count where state.sent[sender] < Int.max {
                state.sent[sender] += 1
                members[sender].command([
                    "cmd": "send", "to": .string(ids[1 - sender]), "text": .string(String(state.sent[sender])),
                ])
            }
        }
    }

    func stop() { state.withLock { $0.task?.cancel() } }

    /// How many numbers a member has said.
    func sent(from sender: Int) -> Int { state.withLock { $0.sent[sender] } }
}
