import SwarmBase
import Testing

@testable import SCTP

/// The receive window with messages so small that their number counts and not their bytes.
@Suite struct WindowTests {
    /// Two ends 10 ms apart, of which B holds so many messages, and what A has sent them before: with `warmUp` the congestion
    /// window is far wider than that.
    private func connected(heldItems: Int, warmUp: Int) throws -> (ChannelPair, DataChannelID) {
        var configuration = SCTPConfiguration()
        configuration.maxHeldItems = heldItems
        let pair = ChannelPair(seed: 1, Impairment(delay: .milliseconds(5)), configuration: configuration)
        pair.connect()
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        for _ in 0..<warmUp { try pair.a.send(Self.large, kind: .binary, on: id, now: pair.now) }
        let isDone = pair.run(for: .seconds(60)) { $0.receivedByB.count == warmUp }
        expectTrue(isDone)
        pair.eventsOfB = []
        return (pair, id)
    }

    private static let large = [UInt8](repeating: 1, count: 60_000)

    private func message(_ number: Int) -> [UInt8] {
        [UInt8(number >> 16 & 0xff), UInt8(number >> 8 & 0xff), UInt8(number & 0xff)] + [UInt8](repeating: 0, count: 97)
    }

    /// Packets full of data that A has sent.
    private final class DataPackets { var count = 0 }

    /// Counts them from now on, and loses those whose number, from 1, is to be lost.
    private func countData(in pair: ChannelPair, losing isLost: @escaping (Int) -> Bool = { _ in false }) -> DataPackets
    {
        let data = DataPackets()
        pair.filter = { toB, packet in
            guard toB, packet.count > 1000 else { return true }
            data.count += 1
            return !isLost(data.count)
        }
        return data
    }

    /// A sends no more than B may keep, so that a lost packet costs that packet and nothing else.
    @Test func smallMessagesBehindALostPacket() throws {
        let (pair, id) = try connected(heldItems: 1000, warmUp: 0)
        for number in 0..<30_000 { try pair.a.send(message(number), kind: .binary, on: id, now: pair.now) }
        // Windows as wide as they get are among them.
        let data = countData(in: pair) { $0 % 500 == 11 }
        let start = pair.now
        let isDone = pair.run(for: .seconds(10)) { $0.receivedByB.count == 30_000 }
        #expect(isDone && pair.receivedByB == (0..<30_000).map(message))
        // Nine messages a packet; each lost one is sent again, perhaps with a neighbour that a probe repeats.
        #expect(data.count <= 30_000 / 9 + 2 * (data.count / 500 + 1), "\(data.count) packets")
        // A thousand messages a round trip are 100,000 a second.
        #expect(pair.now - start < .seconds(1), "\(pair.now - start)")
    }

    /// B's owner does not read: A stops before anything has to be refused, and goes on when there is room.
    @Test func smallMessagesThatNobodyReads() throws {
        let (pair, id) = try connected(heldItems: 1000, warmUp: 0)
        pair.readsB = false
        let data = countData(in: pair)
        for number in 0..<5000 { try pair.a.send(message(number), kind: .binary, on: id, now: pair.now) }
        pair.run(for: .seconds(5))
        #expect((900...1001).contains(pair.b.association.inbox.unreadMessages))
        // Nine messages a packet. A closed window is probed by smaller packets.
        #expect(data.count <= 1000 / 9 + 2, "\(data.count) packets")
        pair.readsB = true
        let isDone = pair.run(for: .seconds(2)) { $0.receivedByB.count == 5000 }
        #expect(isDone && pair.receivedByB == (0..<5000).map(message))
    }

    /// Messages that become small at once are more than B has said it would keep, and the first of them are lost: B refuses
    /// most, and yet the gap fills as quickly as the path carries, not by one chunk each round trip.
    @Test func gapBehindWhichThereIsNoRoom() throws {
        let (pair, id) = try connected(heldItems: 1000, warmUp: 200)
        for number in 0..<20_000 { try pair.a.send(message(number), kind: .binary, on: id, now: pair.now) }
        _ = countData(in: pair) { $0 <= 500 }
        var mostHeld = 0
        pair.check = { mostHeld = max(mostHeld, $0.b.association.reassembly.heldItems) }
        let start = pair.now
        let isDone = pair.run(for: .seconds(60)) { $0.receivedByB.count == 20_000 }
        #expect(isDone && pair.receivedByB == (0..<20_000).map(message))
        #expect(mostHeld == 1000)
        #expect(pair.now - start < .seconds(5), "\(pair.now - start)")
    }
}
