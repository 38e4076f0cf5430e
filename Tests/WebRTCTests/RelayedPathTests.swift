import DTLS
import ICE
import SCTP
import SwarmBase
import Testing

@testable import WebRTC

/// Connections whose pairs begin or end at a relayed address.
@Suite(.serialized) struct RelayedPathTests {
    static let relay = TransportAddress(.v4(0xc633_6408), port: 50_000)

    /// A pair of which `a` has a relayed address.
    private func relayedPair(
        seed: UInt64 = 1, isDirectCut: Bool = true,
        configuration: PeerConnectionConfiguration = PeerConnectionConfiguration()
    ) throws -> PeerPair {
        var pair = try PeerPair(seed: seed, configurationA: configuration, configurationB: configuration)
        pair.relayA = Self.relay
        pair.link.isDirectCut = isDirectCut
        pair.a.addLocalCandidate(.relayed(Self.relay, mapped: pair.addressA, server: Self.relay.address))
        return pair
    }

    @Test(arguments: 0..<5 as Range<UInt64>) func everythingPassesTheRelay(seed: UInt64) throws {
        var pair = try relayedPair(seed: seed)
        let channel = try pair.a.openChannel(DataChannelOptions(label: "main"), now: pair.now)
        try pair.connect()
        let (ours, theirs) = (pair.a.selectedPath, pair.b.selectedPath)
        #expect(ours == .relayed(by: Self.relay) && theirs == .relayed(by: nil))
        #expect(ours?.isRelayed == true)
        let payload = [UInt8](repeating: 5, count: 200_000)
        try pair.a.send(payload, kind: .binary, on: channel, now: pair.now)
        pair.run(for: .seconds(20)) { !$0.eventsB.messages.isEmpty }
        #expect(pair.eventsB.messages == [payload])
        let back = try #require(pair.eventsB.opened.first)
        try pair.b.send([1, 2], kind: .binary, on: back, now: pair.now)
        pair.run(for: .seconds(1))
        #expect(pair.eventsA.messages == [[1, 2]])
        // 1280 bytes less IPv6, UDP and the 36 bytes of a Send indication.
        let largest = pair.largestDatagram
        #expect(largest <= 1280 - 40 - 8 - 36 && largest > 1150, "\(largest)")
        pair.a.close(now: pair.now)
        pair.run(for: .seconds(1))
        #expect(pair.b.closeReason == .remote, "the farewell goes by the relay too")
    }

    @Test func withoutARelayPacketsAreLonger() throws {
        for (mayBeRelayed, limit) in [(false, 1188 + 37), (true, 1156 + 37)] {
            var configuration = PeerConnectionConfiguration()
            configuration.mayBeRelayed = mayBeRelayed
            var pair = try PeerPair(configurationA: configuration, configurationB: configuration)
            let channel = try pair.a.openChannel(DataChannelOptions(label: "main"), now: pair.now)
            try pair.connect()
            let path = pair.a.selectedPath
            #expect(path == .direct)
            try pair.a.send([UInt8](repeating: 5, count: 100_000), kind: .binary, on: channel, now: pair.now)
            pair.run(for: .seconds(20)) { !$0.eventsB.messages.isEmpty }
            let largest = pair.largestDatagram
            #expect(largest == limit)
        }
    }

    /// Where packets are probed for: a direct path gets as much as it carries, a relayed one no more than passes with the
    /// server's headers on either side of it. What is larger than passes everywhere must stay whole.
    @Test(arguments: [true, false]) func largerPacketsAreProbedFor(isRelayed: Bool) throws {
        var configuration = PeerConnectionConfiguration()
        configuration.sctp.maxProbedPacketSize = SCTPConfiguration.largestUsefulPacketSize
        var pair =
            isRelayed
            ? try relayedPair(configuration: configuration)
            : try PeerPair(configurationA: configuration, configurationB: configuration)
        let channel = try pair.a.openChannel(DataChannelOptions(label: "main"), now: pair.now)
        try pair.connect()
        pair.run(for: .seconds(1))
        try pair.a.send([UInt8](repeating: 5, count: 100_000), kind: .binary, on: channel, now: pair.now)
        pair.run(for: .seconds(20)) { !$0.eventsB.messages.isEmpty }
        let (largest, fragmentable) = (pair.largestDatagram, pair.largestFragmentable)
        #expect(largest == (isRelayed ? 1368 : SCTPConfiguration.largestUsefulPacketSize) + 37)
        #expect(!isRelayed || largest + 36 + 8 + 40 <= 1500, "with a Send indication, over IPv6 and Ethernet")
        #expect(fragmentable <= 1188 + 37)
        #expect(pair.eventsB.messages.count == 1)
    }

    @Test func thePathFallsBackToTheRelayAndMessagesGoOn() throws {
        var pair = try relayedPair(isDirectCut: false)
        let channel = try pair.a.openChannel(DataChannelOptions(label: "main"), now: pair.now)
        try pair.connect()
        pair.run(for: .seconds(3))
        var path = pair.a.selectedPath
        #expect(path == .direct)
        pair.link.isDirectCut = true
        for number in 0..<50 as Range<UInt8> {
            try pair.a.send([number], kind: .binary, on: channel, now: pair.now)
            pair.run(for: .milliseconds(500))
        }
        path = pair.a.selectedPath
        #expect(path == .relayed(by: Self.relay))
        #expect(pair.eventsB.messages == (0..<50).map { [$0] })
        #expect(!pair.eventsA.states.contains(.failed) && !pair.eventsB.states.contains(.failed))
        // Said with the relay's change, though the remote address is the same.
        let addresses = pair.eventsA.filter { $0 == .selectedAddress(pair.addressB) }
        #expect(addresses.count >= 2)
    }

    @Test func anAddressThatIsLostIsNotOfferedAgain() throws {
        var pair = try relayedPair(isDirectCut: false)
        try pair.connect()
        #expect(pair.a.localDescription?.candidates.contains { $0.kind == .relayed } == true)
        pair.a.removeLocalCandidate(Self.relay, now: pair.now)
        let offer = try pair.a.createOffer(restart: true, now: pair.now)
        #expect(!offer.candidates.contains { $0.kind == .relayed } && !offer.candidates.isEmpty)
        #expect(pair.a.state == .connected)
    }
}
