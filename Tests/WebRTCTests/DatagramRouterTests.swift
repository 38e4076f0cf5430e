import ICE
import SwarmBase
import Testing

@testable import WebRTC

@Suite struct DatagramRouterTests {
    let one = TransportAddress(.v4(0x0a00_0001), port: 1000)
    let two = TransportAddress(.v4(0x0a00_0002), port: 1000)

    /// A STUN message with only a USERNAME, or none: type, length, cookie, transaction id.
    private func stun(type: UInt16, id: UInt8, username: String? = nil) -> [UInt8] {
        var writer = ByteWriter()
        var attribute = ByteWriter()
        if let username {
            attribute.integer(UInt16(6))
            attribute.prefixed(by: UInt16.self, Array(username.utf8))
            while attribute.bytes.count % 4 != 0 { attribute.integer(UInt8(0)) }
        }
        writer.integer(type)
        writer.integer(UInt16(attribute.bytes.count))
        writer.integer(UInt32(0x2112_a442))
        writer.append([UInt8](repeating: id, count: 12))
        writer.append(attribute.bytes)
        return writer.bytes
    }

    private let dtls: [UInt8] = [22, 0xfe, 0xfd, 0, 0]

    @Test func requestsGoByUfragNotByAddress() {
        var router = DatagramRouter<Int>()
        router.setUfrags(["aaaa", "bbbb"], for: 1)
        router.setUfrags(["cccc"], for: 2)
        #expect(router.addressValidated(one, by: 1) == nil)
        #expect(router.route(stun(type: 1, id: 1, username: "aaaa:x"), from: two) == .connection(1))
        #expect(router.route(stun(type: 1, id: 1, username: "bbbb:x"), from: two) == .connection(1))
        #expect(router.route(stun(type: 1, id: 1, username: "cccc:x"), from: one) == .connection(2))
        #expect(router.route(stun(type: 1, id: 1, username: "dddd:x"), from: one) == .dropped)
        #expect(router.route(stun(type: 1, id: 1), from: one) == .bindingRequest)
    }

    @Test func ufragsAreReplacedWhole() {
        var router = DatagramRouter<Int>()
        router.setUfrags(["aaaa", "bbbb"], for: 1)
        router.setUfrags(["bbbb", "eeee"], for: 1)
        #expect(router.route(stun(type: 1, id: 1, username: "aaaa:x"), from: one) == .dropped)
        #expect(router.route(stun(type: 1, id: 1, username: "bbbb:x"), from: one) == .connection(1))
        #expect(router.route(stun(type: 1, id: 1, username: "eeee:x"), from: one) == .connection(1))
        router.remove(1)
        #expect(router.route(stun(type: 1, id: 1, username: "eeee:x"), from: one) == .dropped)
    }

    @Test func answersGoByTransaction() {
        var router = DatagramRouter<Int>()
        router.noteTransmit(stun(type: 1, id: 5, username: "x:y"), by: 1, now: .zero)
        router.noteTransmit(stun(type: 1, id: 6, username: "x:y"), by: 2, now: .zero)
        router.noteTransmit(stun(type: 0x0101, id: 7), by: 2, now: .zero)
        router.noteTransmit(dtls, by: 2, now: .zero)
        #expect(router.route(stun(type: 0x0101, id: 5), from: two) == .connection(1))
        #expect(router.route(stun(type: 0x0111, id: 6), from: two) == .connection(2))
        #expect(router.route(stun(type: 0x0101, id: 7), from: two) == .stunAnswer)
    }

    @Test func transactionsAreForgotten() {
        var router = DatagramRouter<Int>(transactionLifetime: .seconds(10), maximumTransactions: 4)
        router.noteTransmit(stun(type: 1, id: 1), by: 1, now: .zero)
        router.noteTransmit(stun(type: 1, id: 2), by: 1, now: .zero + .seconds(10))
        #expect(router.route(stun(type: 0x0101, id: 1), from: two) == .connection(1))
        router.noteTransmit(stun(type: 1, id: 3), by: 1, now: .zero + .seconds(20))
        #expect(router.route(stun(type: 0x0101, id: 1), from: two) == .stunAnswer)
        #expect(router.route(stun(type: 0x0101, id: 2), from: two) == .connection(1))
        // Never more than twice the bound, however fast they come.
        for id in UInt8(10)..<30 { router.noteTransmit(stun(type: 1, id: id), by: 1, now: .zero + .seconds(21)) }
        let known = (UInt8(0)..<30).filter { router.route(stun(type: 0x0101, id: $0), from: two) == .connection(1) }
        #expect(known.count <= 8)
        #expect(known.contains(29))
    }

    @Test func dtlsGoesToTheNewestAtItsAddress() {
        var router = DatagramRouter<Int>()
        #expect(router.route(dtls, from: one) == .dropped)
        #expect(router.addressValidated(one, by: 1) == nil)
        #expect(router.addressValidated(one, by: 1) == nil)
        #expect(router.route(dtls, from: one) == .connection(1))
        #expect(router.route(dtls, from: two) == .dropped)
        #expect(router.addressValidated(one, by: 2) == 1)
        #expect(router.route(dtls, from: one) == .connection(2))
        // The end of the older one does not touch the newer one.
        router.remove(1)
        #expect(router.connection(at: one) == 2)
        router.remove(2)
        #expect(router.connection(at: one) == nil)
    }

    @Test func addressesOfAConnectionAreBounded() {
        var router = DatagramRouter<Int>()
        for port in UInt16(1)...40 {
            #expect(router.addressValidated(TransportAddress(.v4(1), port: port), by: 1) == nil)
        }
        let known = (UInt16(1)...40).filter { router.connection(at: TransportAddress(.v4(1), port: $0)) != nil }
        #expect(known == Array(9...40))
    }

    @Test func otherProtocols() {
        let router = DatagramRouter<Int>()
        #expect(router.route(Array("d1:ad2:id20:".utf8), from: one) == .dht)
        #expect(router.route([0x40, 0, 0, 4, 1, 2, 3, 4], from: one) == .channelData)
        #expect(router.route([0x4f], from: one) == .channelData)
        #expect(router.route([], from: one) == .dropped)
        #expect(router.route([0x41, 0], from: one) == .channelData)
        // uTP: its first byte looks like STUN, its cookie does not.
        #expect(router.route([UInt8](repeating: 1, count: 20), from: one) == .dropped)
        #expect(DatagramKind([19]) == .unknown)
        #expect(DatagramKind([20]) == .dtls)
        #expect(DatagramKind([63]) == .dtls)
        #expect(DatagramKind([80]) == .unknown)
        #expect(DatagramKind([0x53]) == .signaling)
        #expect(DatagramKind([255]) == .unknown)
    }

    @Test func randomDatagramsNeverTrap() {
        var router = DatagramRouter<Int>()
        router.setUfrags(["aaaa"], for: 1)
        var generator = SeededGenerator(seed: 11)
        for _ in 0..<20_000 {
            var bytes = generator.bytes(Int.random(in: 0...80, using: &generator))
            if bytes.count >= 20, Bool.random(using: &generator) {
                bytes.replaceSubrange(0..<8, with: [0, 1, 0, UInt8(bytes.count - 20), 0x21, 0x12, 0xa4, 0x42])
            }
            let route = router.route(bytes, from: one)
            #expect(route != .connection(1))
            router.noteTransmit(bytes, by: 2, now: .zero)
        }
    }
}
