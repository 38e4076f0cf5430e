/// Looks for the largest rate that is kept up with: doubles it until it is not, then halves the gap, by ratio.
struct CeilingSearch: Sendable {
    /// How exactly the ceiling is wanted: within an eighth.
    private static let ratio = 1.125
    /// A rate at which the writers of this process are the ones that are measured.
    private static let highest = 64_000.0

    /// The highest rate that was kept up with; 0 when there was none.
    private(set) var ceiling = 0.0
    /// The lowest rate that was not.
    private var tooMuch: Double?
    private let first: Double
    /// Whether the rate that is tried has failed once: what else the machine does must not decide.
    private var hasFailed = false

    init(from first: Double) { self.first = first }

    /// The rate to try; `nil` when the ceiling is found.
    var next: Double? {
        guard let tooMuch else { return ceiling >= Self.highest ? nil : max(first, ceiling * 2) }
        guard ceiling > 0 else { return tooMuch > first / 16 ? tooMuch / 2 : nil }
        return tooMuch / ceiling > Self.ratio ? (tooMuch * ceiling).squareRoot().rounded() : nil
    }

    mutating func note(keepsUp: Bool) {
        guard let rate = next else { return }
        if keepsUp {
            ceiling = rate
            hasFailed = false
        } else if hasFailed {
            tooMuch = rate
            hasFailed = false
        } else {
            hasFailed = true
        }
    }
}
