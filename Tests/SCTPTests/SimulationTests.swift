import Foundation
import SwarmBase
import Testing

@testable import SCTP

/// Associations over the worst paths: everything at random, drawn from a seed that failures print.
@Suite struct SimulationTests {
    private static func number(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
    }

    /// `SWARM_SPACE_SEEDS` says how many, `SWARM_SPACE_FIRST_SEED` from which on; `SWARM_SPACE_SEED` runs a single one again.
    static let seeds: Range<UInt64> = {
        if let only = number("SWARM_SPACE_SEED") { return only..<only + 1 }
        let first = number("SWARM_SPACE_FIRST_SEED") ?? 0
        return first..<first + (number("SWARM_SPACE_SEEDS") ?? 240)
    }()

    @Test(arguments: UInt64(0)..<8)
    func everythingAtOnce(part: UInt64) throws {
        for seed in Self.seeds where seed % 8 == part { try Simulation(seed: seed).run() }
    }
}

/// One run: channels of every kind both ways, over a path that loses, repeats, reorders, damages, delays and breaks.
private final class Simulation {
    private struct Channel {
        var id: DataChannelID
        var options: DataChannelOptions
        var isFromA: Bool
        var isClosed = false
        /// What was sent, by number.
        var sent: [Int: Sent] = [:]
    }

    private struct Sent {
        var payload: [UInt8]
        var kind: DataChannelMessageKind
        var at: Instant
    }

    private let seed: UInt64
    private var random: SeededGenerator
    private let pair: ChannelPair
    private var channels: [Channel] = []
    /// How often each number left, per direction.
    private var transmissions: [UInt64: Int] = [:]
    private let isInterleaved: Bool
    private let window: Int

    init(seed: UInt64) {
        self.seed = seed
        var random = SeededGenerator(seed: seed &* 7919 &+ 1)
        var a = SCTPConfiguration()
        a.maxMessageSize = 40_000
        a.offersInterleaving = Bool.random(using: &random)
        var b = a
        b.offersInterleaving = a.offersInterleaving && Bool.random(using: &random)
        isInterleaved = b.offersInterleaving
        a.isOverDTLS = Int.random(in: 0..<4, using: &random) == 0
        b.isOverDTLS = a.isOverDTLS && Bool.random(using: &random)
        a.receiveWindow = [50_000, 80_000, 4 << 20].randomElement(using: &random) ?? 4 << 20
        a.maxReceiveWindow = a.receiveWindow
        b.receiveWindow = a.receiveWindow
        b.maxReceiveWindow = a.receiveWindow
        window = a.receiveWindow
        if Int.random(in: 0..<3, using: &random) == 0 { a.maxProbedPacketSize = 1400 }
        var impairment = Impairment()
        // A third of the paths is hardly disturbed.
        let severity = ([0.05, 0.3, 1] as [Double]).randomElement(using: &random) ?? 1
        impairment.loss = Double.random(in: 0...0.3, using: &random) * severity
        impairment.reordering = Double.random(in: 0...0.3, using: &random)
        impairment.duplication = Double.random(in: 0...0.1, using: &random)
        impairment.delay = .milliseconds(Int.random(in: 0...500, using: &random))
        // Without checksums DTLS would have refused what is damaged.
        if !a.isOverDTLS { impairment.corruption = Double.random(in: 0...0.03, using: &random) }
        pair = ChannelPair(
            seed: seed, impairment, configuration: a, configurationOfB: b, remoteMaxMessageSize: 40_000,
            initialTSN: Bool.random(using: &random) ? 0xffff_fff0 : nil)
        self.random = random
    }

    func run() throws {
        pair.filter = { [unowned self] toB, packet in
            observe(packet, fromA: toB)
            return true
        }
        pair.check = { [unowned self] pair in checkBounds(pair) }
        for _ in 0..<Int.random(in: 1...5, using: &random) { try open() }
        if Bool.random(using: &random) { try sendSome() }
        pair.connect(within: .seconds(600))
        for _ in 0..<Int.random(in: 3...8, using: &random) {
            try sendSome()
            pair.run(for: .milliseconds(Int.random(in: 0...1500, using: &random)))
            switch Int.random(in: 0..<8, using: &random) {
            case 0: cutPath()
            case 1: changePath()
            case 2: try closeOne()
            case 3: try open()
            case 4: pauseReading()
            default: break
            }
        }
        try finish()
    }

    // MARK: What happens

    private func open() throws {
        let reliability: DataChannelOptions.Reliability =
            switch Int.random(in: 0..<4, using: &random) {
            case 0: .maxRetransmits(UInt16.random(in: 0...3, using: &random))
            case 1: .maxPacketLifeTime(UInt16.random(in: 50...3000, using: &random))
            default: .reliable
            }
        let options = DataChannelOptions(
            label: "c\(channels.count)", isOrdered: Bool.random(using: &random), reliability: reliability,
            priority: [128, 256, 512, 1024].randomElement(using: &random) ?? 256)
        let isFromA = Bool.random(using: &random)
        let id = isFromA ? try pair.a.open(options) : try pair.b.open(options)
        channels.append(Channel(id: id, options: options, isFromA: isFromA))
    }

    private func sendSome() throws {
        for index in channels.indices where !channels[index].isClosed {
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                let number = channels[index].sent.count
                let size =
                    Int.random(in: 0..<12, using: &random) == 0
                    ? Int.random(in: 5000...40_000, using: &random) : Int.random(in: 4...1500, using: &random)
                let fill = UInt8(truncatingIfNeeded: index * 31 + number) & 0x7f
                var payload = [UInt8](repeating: fill, count: size)
                payload[0] = UInt8(index)
                payload[1] = UInt8(number & 0x7f)
                payload[2] = UInt8(number >> 7)
                let kind: DataChannelMessageKind = Bool.random(using: &random) ? .text : .binary
                if channels[index].isFromA {
                    try pair.a.send(payload, kind: kind, on: channels[index].id, now: pair.now)
                } else {
                    try pair.b.send(payload, kind: kind, on: channels[index].id, now: pair.now)
                }
                channels[index].sent[number] = Sent(payload: payload, kind: kind, at: pair.now)
            }
        }
    }

    private func cutPath() {
        pair.impair { $0.isCut = true }
        pair.run(for: .milliseconds(Int.random(in: 0...15_000, using: &random)))
        pair.impair { $0.isCut = false }
        if Bool.random(using: &random) { changePath() }
    }

    private func changePath() {
        let delay = Duration.milliseconds(Int.random(in: 0...500, using: &random))
        pair.impair { $0.delay = delay }
        if Bool.random(using: &random) { pair.a.pathChanged(now: pair.now) }
        if Bool.random(using: &random) { pair.b.pathChanged(now: pair.now) }
    }

    private func closeOne() throws {
        guard let index = channels.indices.randomElement(using: &random), !channels[index].isClosed else { return }
        channels[index].isClosed = true
        // By the side that sends: what was sent before arrives.
        if channels[index].isFromA {
            pair.a.close(channels[index].id, now: pair.now)
        } else {
            pair.b.close(channels[index].id, now: pair.now)
        }
    }

    private func pauseReading() {
        pair.readsB = false
        pair.run(for: .milliseconds(Int.random(in: 0...2000, using: &random)))
        pair.readsB = true
        pair.drain()
    }

    // MARK: What must hold

    private func finish() throws {
        let done = pair.run(for: .seconds(3600)) { [unowned self] pair in
            pair.a.bufferedAmount == 0 && pair.b.bufferedAmount == 0 && pair.a.association.outstanding.isEmpty
                && pair.b.association.outstanding.isEmpty && isReliableComplete
        }
        #expect(done, "seed \(seed): not finished after an hour")
        // Nothing comes twice later on, and nothing is left to be done.
        pair.run(for: .seconds(120))
        for index in channels.indices { check(index) }
        let isIdle =
            pair.a.association.timers.next == pair.a.association.timers[.mtuProbe]
            && pair.b.association.timers.next == nil
        #expect(isIdle, "seed \(seed): timers left")
        let held = pair.a.association.reassembly.heldBytes + pair.b.association.reassembly.heldBytes
        #expect(held == 0, "seed \(seed): \(held) bytes held for nothing")
        let interleaves = pair.a.association.isInterleaving
        #expect(interleaves == isInterleaved, "seed \(seed)")
        for channel in channels where channel.isClosed {
            let isTold = pair.eventsOfA.contains(.closed(channel.id)) && pair.eventsOfB.contains(.closed(channel.id))
            #expect(isTold, "seed \(seed): channel \(channel.id) not closed")
        }
    }

    private var isReliableComplete: Bool {
        var wanted = 0
        for channel in channels where channel.options.reliability == .reliable { wanted += channel.sent.count }
        guard pair.eventsOfA.count + pair.eventsOfB.count >= wanted else { return false }
        for (index, channel) in channels.enumerated() where channel.options.reliability == .reliable {
            if received(index).count < channel.sent.count { return false }
        }
        return true
    }

    /// The messages of a channel, as they arrived; numbers of channels come again, so the first byte tells.
    private func received(_ index: Int) -> [(number: Int, kind: DataChannelMessageKind, payload: [UInt8])] {
        let channel = channels[index]
        return (channel.isFromA ? pair.eventsOfB : pair.eventsOfA).compactMap { event in
            guard case .message(channel.id, let kind, let payload) = event, payload.count >= 3, payload[0] == index
            else { return nil }
            return (Int(payload[1]) | Int(payload[2]) << 7, kind, payload)
        }
    }

    private func check(_ index: Int) {
        let channel = channels[index]
        let got = received(index)
        let numbers = got.map(\.number)
        for (number, kind, payload) in got {
            #expect(
                channel.sent[number]?.payload == payload && channel.sent[number]?.kind == kind,
                "seed \(seed): message \(number) of channel \(index) is not what was sent")
        }
        #expect(Set(numbers).count == numbers.count, "seed \(seed): channel \(index) delivered twice")
        if channel.options.isOrdered {
            #expect(numbers == numbers.sorted(), "seed \(seed): channel \(index) out of order")
        }
        if channel.options.reliability == .reliable {
            #expect(numbers.count == channel.sent.count, "seed \(seed): channel \(index) incomplete")
        }
    }

    /// Looks at the wire: limits of partial reliability, and the size of packets.
    private func observe(_ packet: [UInt8], fromA: Bool) {
        let limit = fromA ? 1400 : 1188
        #expect(packet.count <= limit, "seed \(seed): a packet of \(packet.count) bytes")
        var walker = ChunkWalker(packet: packet)
        while let raw = walker.next() {
            let chunk =
                raw.type == 0
                ? DataChunk(raw, in: packet) : raw.type == 64 ? DataChunk(interleaved: raw, in: packet) : nil
            guard let chunk else { continue }
            let key = UInt64(fromA ? 1 : 0) << 32 | UInt64(chunk.tsn)
            transmissions[key, default: 0] += 1
            guard chunk.flags.contains(.begin), chunk.payloadProtocol != 50, chunk.payload.count >= 3 else { continue }
            let payload = packet[chunk.payload]
            let index = Int(payload[chunk.payload.lowerBound])
            let number =
                Int(payload[chunk.payload.lowerBound + 1]) | Int(payload[chunk.payload.lowerBound + 2]) << 7
            guard index < channels.count, let sent = channels[index].sent[number] else { continue }
            switch channels[index].options.reliability {
            case .reliable: break
            case .maxRetransmits(let limit):
                #expect(transmissions[key] ?? 0 <= Int(limit) + 1, "seed \(seed): sent too often")
            case .maxPacketLifeTime(let milliseconds):
                #expect(
                    pair.now - sent.at < .milliseconds(Int64(milliseconds)),
                    "seed \(seed): sent after its lifetime")
            }
        }
    }

    private func checkBounds(_ pair: ChannelPair) {
        let held = max(pair.a.association.reassembly.heldBytes, pair.b.association.reassembly.heldBytes)
        #expect(held <= 2 * window + 1200, "seed \(seed): \(held) bytes held")
        let control = max(pair.a.association.control.count, pair.b.association.control.count)
        #expect(control <= SCTPAssociation.maxQueuedControl, "seed \(seed)")
        let answers = max(pair.a.association.answers.count, pair.b.association.answers.count)
        #expect(answers <= SCTPAssociation.maxQueuedControl, "seed \(seed)")
        let flight = max(pair.a.association.outstanding.flightBytes, pair.b.association.outstanding.flightBytes)
        #expect(flight <= SCTPConfiguration().maxCongestionWindow, "seed \(seed)")
        let gaps = max(pair.a.association.tracker.gaps.count, pair.b.association.tracker.gaps.count)
        #expect(gaps <= 4096, "seed \(seed)")
    }
}
