import Foundation
import SwarmBase
import Testing

@testable import SCTP

/// Bulk transfers that share links, and links that lose at random, by seed: the moments at which they begin, and what is lost.
/// `SWARM_SPACE_SEEDS` says how many seeds, `SWARM_SPACE_FIRST_SEED` from which on; `SWARM_SPACE_SEED` runs a single one again.
/// Without these the fast links, which take long in a debug build, are left out.
@Suite struct SharedLinkTests {
    private static func number(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
    }

    private static let isThorough = number("SWARM_SPACE_SEEDS") != nil || number("SWARM_SPACE_SEED") != nil
    private static let seeds: ClosedRange<UInt64> = {
        if let only = number("SWARM_SPACE_SEED") { return only...only }
        let first = number("SWARM_SPACE_FIRST_SEED") ?? 1
        return first...first + max(number("SWARM_SPACE_SEEDS") ?? 1, 1) - 1
    }()

    /// Who sends beside.
    enum Neighbour: Sendable {
        /// RFC 9260 §7.2: halves its window with each loss.
        case reno
        /// RFC 9438: to the letter, and fills every buffer.
        case cubic

        var configuration: SCTPConfiguration {
            var configuration = SCTPConfiguration()
            switch self {
            case .reno: configuration.congestionAlgorithm = .newReno
            case .cubic:
                configuration.queueLimit = .zero
                configuration.toleratedLoss = 0
            }
            return configuration
        }
    }

    /// A link of so many Mbit/s, 50 ms there and back, with a buffer of so many times what is under way on it.
    private func link(_ rate: Double, buffer: Double, loss: Double = 0) -> Bottleneck.Link {
        Bottleneck.Link(
            rate: rate * 1e6, buffer: .microseconds(Int(buffer * 50_000)), roundTrip: .milliseconds(50), loss: loss)
    }

    /// What each transfer got, in Mbit/s. The first begins at once, the others within four seconds.
    private func share(
        _ link: Bottleneck.Link, _ transfers: [SCTPConfiguration], seed: UInt64, warm: Duration, time: Duration
    ) -> (rates: [Double], lost: Double) {
        var random = SeededGenerator(seed: seed &* 7919)
        let bottleneck = Bottleneck(link, seed: seed)
        for (number, configuration) in transfers.enumerated() {
            let start = number == 0 ? 0 : Int.random(in: 0..<4000, using: &random)
            bottleneck.add(configuration, startsAt: .milliseconds(start))
        }
        bottleneck.run(for: warm)
        bottleneck.run(for: time)
        return (
            transfers.indices.map { bottleneck.throughput($0, over: time) },
            Double(bottleneck.overflows) / Double(max(1, bottleneck.packets))
        )
    }

    private static func describe(_ numbers: [Double]) -> String {
        numbers.map { String(format: "%.2f", $0) }.joined(separator: " ")
    }

    /// Two and four of ours: by Jain's index (1 is even) each gets its share in every run, and the link is used.
    @Test(arguments: isThorough ? [1, 5, 50] : [1, 5], [0.5, 1, 2])
    func oursShareEvenly(rate: Double, buffer: Double) {
        for count in [2, 4] {
            var least = 1.0
            for seed in Self.seeds {
                let (rates, lost) = share(
                    link(rate, buffer: buffer), Array(repeating: .init(), count: count), seed: seed,
                    warm: .seconds(10), time: .seconds(Self.isThorough ? 30 : 20))
                let sum = rates.reduce(0, +)
                let index = sum * sum / (Double(count) * rates.reduce(0) { $0 + $1 * $1 })
                least = min(least, index)
                #expect(index >= 0.9, "seed \(seed): \(Self.describe(rates)) Mbit/s")
                #expect(sum > 0.75 * rate, "seed \(seed): \(Self.describe(rates)) Mbit/s")
                if rate >= 5 { #expect(lost < 0.05, "seed \(seed)") }
            }
            if Self.isThorough { print("\(rate) Mbit/s, buffer \(buffer), \(count): least index \(least)") }
        }
    }

    /// Mbit/s and buffers.
    private static let places: [(rate: Double, buffer: Double)] =
        isThorough ? [(5, 0.1), (20, 0.1), (20, 0.5), (20, 1), (50, 1), (20, 2)] : [(5, 0.1), (5, 1)]

    /// Whoever heeds each loss keeps a decent share beside ours, also where buffers are so short that loss is the only sign.
    @Test(arguments: [Neighbour.reno, .cubic], places)
    func othersKeepTheirShare(neighbour: Neighbour, at place: (rate: Double, buffer: Double)) {
        for count in [1, 3] {
            var least = Double.infinity
            for seed in Self.seeds {
                let (rates, _) = share(
                    link(place.rate, buffer: place.buffer),
                    [.init()] + Array(repeating: neighbour.configuration, count: count), seed: seed,
                    warm: .seconds(10), time: .seconds(Self.isThorough ? 40 : 20))
                let fair = place.rate / Double(count + 1)
                let theirs = rates.dropFirst().reduce(0, +) / Double(count) / fair
                least = min(least, theirs)
                #expect(theirs > (place.buffer < 0.5 ? 0.35 : 0.6), "seed \(seed): \(Self.describe(rates)) Mbit/s")
                #expect(rates[0] / fair > 0.2, "seed \(seed): \(Self.describe(rates)) Mbit/s")
            }
            if Self.isThorough { print("\(place) \(count) of \(neighbour): least of its share \(least)") }
        }
    }

    /// Mbit/s, what is lost of a hundred, and what arrives at least.
    private static let lossy: [(rate: Int, percent: Int, least: Double)] =
        isThorough
        ? [
            (20, 0, 14), (20, 1, 11), (20, 2, 11), (20, 5, 11), (20, 10, 9), (100, 0, 80), (100, 1, 45), (100, 2, 35),
            (100, 5, 35), (100, 10, 25),
        ] : [(20, 2, 10), (20, 5, 10), (20, 10, 8)]

    /// Random loss (%) is no congestion: so many Mbit/s arrive at least, 3 to 13 seconds after the start.
    @Test(arguments: lossy)
    func randomLoss(rate: Int, percent: Int, least: Double) {
        for seed in Self.seeds {
            for buffer in Self.isThorough ? [0.1, 1] : [1] {
                let (rates, _) = share(
                    link(Double(rate), buffer: buffer, loss: Double(percent) / 100), [.init()], seed: seed,
                    warm: .seconds(3), time: .seconds(Self.isThorough ? 10 : 5))
                #expect(rates[0] > least, "seed \(seed), buffer \(buffer)")
                if Self.isThorough {
                    print("\(rate) Mbit/s, \(percent) % lost, buffer \(buffer): \(Self.describe(rates)) Mbit/s")
                }
            }
        }
    }
}
