/// Samples of one duration, in order.
struct Percentiles: Sendable {
    private let sorted: [Duration]

    init(_ samples: [Duration]) { sorted = samples.sorted() }

    /// - Parameter share: 0…1; 0.5 is the median.
    subscript(share: Double) -> Duration {
        sorted.isEmpty ? .zero : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
    }
}
