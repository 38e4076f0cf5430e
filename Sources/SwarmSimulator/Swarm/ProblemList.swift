import SwarmBase

/// What was not as it should be, in the order of noticing: the first hundred.
struct ProblemList: Sendable {
    private(set) var all: [String] = []

    mutating func note(_ problem: String, at now: Instant) {
        guard all.count < 100 else { return }
        all.append("\(Double((now - .zero).nanosecondsClamped / 1_000_000) / 1000) s: \(problem)")
    }
}
