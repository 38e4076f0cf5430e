import SwarmBase
import Testing

@testable import SCTP

@Suite struct SimulationTests {
    /// 1,000 seeds: messages of 1 byte to 256 KiB, text and binary, ordered and not, both ways, over a path with 2 %
    /// loss, 2 % reordering and 1 % duplication.
    @Test(arguments: 0..<20)
    func everyTransferIsCompleteAndExact(block: Int) throws {
        for seed in UInt64(block * 50)..<UInt64(block * 50 + 50) { try transfer(seed: seed) }
    }

    private func transfer(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let impairment = Impairment(
            loss: 0.02, duplication: 0.01, reordering: 0.02,
            delay: .milliseconds(Int.random(in: 1...60, using: &random)))
        // Every fourth association wraps around early.
        let pair = ChannelPair(
            seed: seed, impairment, initialTSN: seed.isMultiple(of: 4) ? 0xffff_fff0 : nil)
        let ordered = try pair.a.open(DataChannelOptions(label: "ordered"))
        let unordered = try pair.b.open(DataChannelOptions(label: "unordered", isOrdered: false))
        // Before the association is up, too.
        var toB: [Sent] = []
        var toA: [Sent] = []
        let sizes = Self.sizes(seed: seed, random: &random)
        let early = sizes.count / 4
        for (index, size) in sizes.enumerated() {
            if index == early { pair.connect() }
            let message = Self.message(size: size, number: index, random: &random)
            if index.isMultiple(of: 2) {
                try pair.a.send(message.payload, kind: message.kind, on: ordered, now: pair.now)
                toB.append(message)
            } else {
                try pair.b.send(message.payload, kind: message.kind, on: unordered, now: pair.now)
                toA.append(message)
            }
            if index > early, index.isMultiple(of: 3) {
                pair.run(for: .milliseconds(Int.random(in: 0...20, using: &random)))
            }
        }
        let done = pair.run(for: .seconds(20)) {
            $0.eventsOfB.count >= toB.count && $0.eventsOfA.count >= toA.count
                && Self.received($0.eventsOfB, on: ordered).count >= toB.count
                && Self.received($0.eventsOfA, on: unordered).count >= toA.count
        }
        #expect(done, "seed \(seed): not finished")
        // Nothing comes twice later on.
        pair.run(for: .seconds(2))
        #expect(Self.received(pair.eventsOfB, on: ordered) == toB, "seed \(seed): ordered")
        let got = Self.received(pair.eventsOfA, on: unordered)
        #expect(
            Dictionary(grouping: got) { $0 }.mapValues(\.count) == Dictionary(grouping: toA) { $0 }.mapValues(\.count),
            "seed \(seed): unordered")
        #expect(pair.a.bufferedAmount == 0 && pair.b.bufferedAmount == 0, "seed \(seed)")
    }

    struct Sent: Hashable {
        var kind: DataChannelMessageKind
        var payload: [UInt8]
    }

    private static func received(_ events: [DataChannelEvent], on id: DataChannelID) -> [Sent] {
        events.compactMap {
            if case .message(id, let kind, let payload) = $0 { Sent(kind: kind, payload: payload) } else { nil }
        }
    }

    private static func sizes(seed: UInt64, random: inout SeededGenerator) -> [Int] {
        switch seed % 25 {
        case 0: [262_144, 1, 262_143, 1161]
        case 1: (0..<200).map { _ in Int.random(in: 0...20, using: &random) }
        case 2: [65_536, 16_384, 65_537, 16_383, 1160, 1161, 1159, 2320]
        default: (0..<8).map { _ in Int.random(in: 0...3000, using: &random) }
        }
    }

    private static func message(size: Int, number: Int, random: inout SeededGenerator) -> Sent {
        if number.isMultiple(of: 3) {
            let letter = UInt8(97 + number % 26)
            return Sent(kind: .text, payload: [UInt8](repeating: letter, count: size))
        }
        return Sent(kind: .binary, payload: random.bytes(size))
    }
}
