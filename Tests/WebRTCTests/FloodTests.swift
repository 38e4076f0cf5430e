import DTLS
import SCTP
import SwarmBase
import Testing

@testable import ICE
@testable import WebRTC

/// What strangers may send: nothing of it lasts, and none of it is answered.
@Suite struct FloodTests {
    private let stranger = TransportAddress(.v4(0x0c00_0001), port: 9)

    private func check(_ ufrag: String, number: UInt64) -> [UInt8] {
        var random = SeededGenerator(seed: number)
        return STUNMessage(
            .request, transactionID: .random(using: &random),
            attributes: [
                .username(Array("\(ufrag):abcd".utf8)), .priority(1), .iceControlling(number), .useCandidate,
            ]
        ).encoded(key: STUNIntegrityKey(password: "guessed guessed guessed"))
    }

    /// A real ClientHello.
    private func hello() throws -> [UInt8] {
        var client = try DTLSTransport(role: .client, certificate: try DTLSCertificate(), expected: [])
        client.start(now: .zero)
        let first = client.pollTransmit()
        return try #require(first)
    }

    @Test func theRouterDropsWhatIsForNobody() throws {
        var router = DatagramRouter<Int>()
        for connection in 0..<2000 {
            router.setUfrags(["ufrag\(connection)"], for: connection)
            #expect(router.addressValidated(TransportAddress(.v4(UInt32(connection)), port: 1), by: connection) == nil)
        }
        let hello = try hello()
        for number in UInt64(0)..<2000 {
            let source = TransportAddress(.v4(0x0c00_0000 + UInt32(number)), port: 9)
            #expect(router.route(check("no\(number)", number: number), from: source) == .dropped)
            #expect(router.route(hello, from: source) == .dropped)
        }
        // The router itself is not touched by what comes: `route` cannot change it. Connections are found among many.
        #expect(router.route(check("ufrag1999", number: 1), from: stranger) == .connection(1999))
        #expect(router.route(hello, from: TransportAddress(.v4(7), port: 1)) == .connection(7))
    }

    @Test func namesThatAreTooLongFindNobody() {
        var router = DatagramRouter<Int>()
        let longest = String(repeating: "u", count: 16)
        router.setUfrags([longest, longest + "v", ""], for: 1)
        #expect(router.route(check(longest, number: 1), from: stranger) == .connection(1))
        #expect(router.route(check(longest + "v", number: 1), from: stranger) == .dropped)
        #expect(router.route(check("", number: 1), from: stranger) == .dropped)
        #expect(router.route(check(String(repeating: "u", count: 400), number: 1), from: stranger) == .dropped)
    }

    @Test(arguments: [false, true]) func aConnectionIgnoresForgedChecksAndHellos(isConnected: Bool) throws {
        var pair = try PeerPair()
        if isConnected {
            try pair.connect()
        } else {
            // The offerer waits for its answer; its ufrag is known to whoever has seen the offer.
            _ = try pair.b.createOffer(now: pair.now)
            _ = try pair.a.accept(offer: try pair.b.createOffer(now: pair.now), now: pair.now)
            _ = try pair.b.createOffer(now: pair.now)
            pair.drain()
        }
        let ufrag = pair.a.localUfrags[0]
        let (hello, state) = (try hello(), pair.a.state)
        let before = pair.a.ice
            .generations.map { $0.pairs.count + $0.earlyChecks.count + $0.triggered.count }.reduce(0, +)
        let validated = pair.a.ice.validated
        let events = pair.eventsA.count
        for number in UInt64(0)..<5000 {
            let source = TransportAddress(.v4(0x0c00_0000 + UInt32(number % 500)), port: 9)
            pair.a.handle(datagram: check(ufrag, number: number), from: source, now: pair.now)
            pair.a.handle(datagram: hello, from: source, now: pair.now)
            #expect(pair.a.pollTransmit() == nil, "nothing is answered")
        }
        pair.drain()
        let after = pair.a.ice
            .generations.map { $0.pairs.count + $0.earlyChecks.count + $0.triggered.count }.reduce(0, +)
        #expect(after == before && pair.a.earlyDatagrams.isEmpty)
        #expect(pair.a.ice.validated == validated && pair.eventsA.count == events)
        #expect(pair.a.state == state)
        if isConnected {
            let channel = try pair.a.openChannel(DataChannelOptions(label: "x"), now: pair.now)
            pair.run(for: .seconds(1)) { $0.eventsA.opened.contains(channel) }
            #expect(pair.eventsA.opened.contains(channel))
        }
    }

    @Test func aServerThatWaitsForItsClientTakesHellosFromThePeerOnly() throws {
        // b accepts as passive side: its server listens before any check has come.
        var pair = try PeerPair()
        var offer = try pair.a.createOffer(now: pair.now)
        offer.setup = .active
        _ = try pair.b.accept(offer: offer, now: pair.now)
        while pair.b.pollTransmit() != nil {}
        let hello = try hello()
        for number in UInt32(0)..<100 {
            pair.b.handle(datagram: hello, from: TransportAddress(.v4(number), port: 1), now: pair.now)
        }
        // Not even the peer's address counts before an authenticated check came from it.
        pair.b.handle(datagram: hello, from: pair.addressA, now: pair.now)
        var answers = 0
        while let transmit = pair.b.pollTransmit() { if DatagramKind(transmit.payload) == .dtls { answers += 1 } }
        #expect(answers == 0)
        #expect(pair.b.dtls?.hasTransmit == false)
    }
}
