import SwarmBase

/// What a supernode counted, every few seconds, for some minutes back: rates are differences of it.
struct StatusHistory {
    /// How far apart the samples are.
    static let interval: Duration = .seconds(5)
    /// How many are kept: ten minutes.
    static let most = 120

    /// Counts since the start, and what there is, at one moment.
    struct Sample: Equatable {
        var at: Instant
        var announces = 0
        var puts = 0
        var bytesReceived = 0
        var bytesSent = 0
        var requests = 0
        var connections = 0
        var residentBytes = 0
    }

    private(set) var samples: [Sample] = []

    mutating func note(_ sample: Sample) {
        samples.append(sample)
        if samples.count > Self.most { samples.removeFirst(samples.count - Self.most) }
    }

    /// A rate a second over the last minute, or since the first sample; 0 before there are two.
    func rate(_ count: KeyPath<Sample, Int>) -> Double {
        guard let last = samples.last, let first = samples.first(where: { last.at - $0.at <= .seconds(60) }) else {
            return 0
        }
        let seconds = (last.at - first.at).milliseconds / 1000
        return seconds > 0 ? Double(last[keyPath: count] - first[keyPath: count]) / seconds : 0
    }
}
