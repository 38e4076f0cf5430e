import SwarmBase
import Testing

@testable import DHT

/// BEP 42.
@Suite struct SecureNodeIDTests {
    @Test func published() throws {
        let recorded = try Recorded.load("bep42")
        for entry in try #require(recorded["published"] as? [[String: Any]]) {
            let address = try #require((entry["ip"] as? String).flatMap { IPAddress($0) })
            #expect(try #require(NodeID(bytes: Recorded.bytes(entry, "node_id"))).fits(address))
        }
    }

    /// What libtorrent takes and refuses when it is strict.
    @Test func enforced() throws {
        let entries = try #require(try Recorded.load("bep42")["enforced_by_libtorrent"] as? [[String: Any]])
        for entry in entries {
            let address = try #require((entry["ip"] as? String).flatMap { IPAddress($0) })
            let id = try #require(NodeID(bytes: Recorded.bytes(entry, "node_id")))
            #expect(id.fits(address) == (entry["accepted"] as? Bool), "\(entry["case"] ?? "") \(address)")
        }
        #expect(entries.count > 50)
    }

    @Test func ownIDsFit() {
        var entropy = Entropy.seed(42)
        for text in ["124.31.75.21", "203.0.113.7", "2001:db8::1", "2607:f8b0:4005:80a::200e"] {
            guard let address = IPAddress(text) else { continue }
            let ids = (0..<64).map { _ in NodeID.fitting(address, using: &entropy) }
            #expect(ids.allSatisfy { $0.fits(address) })
            #expect(Set(ids).count == ids.count)
        }
        let random = NodeID.random(using: &entropy)
        #expect(
            ["10.1.2.3", "127.0.0.1", "192.168.1.1", "fe80::1", "::1"].allSatisfy {
                IPAddress($0).map(random.fits) == true
            })
    }

    @Test func votes() {
        var external = ExternalAddress()
        let seen = TransportAddress.stranger(900)
        #expect(external.vote(seen, by: .stranger(1)) == false)
        // A second voice of the same network is none.
        #expect(external.vote(seen, by: TransportAddress(.v4(0x2d00_0105), port: 5)) == false)
        #expect(external.vote(seen, by: .stranger(2)) == false)
        #expect(external.mapping == .unknown)
        #expect(external.vote(seen, by: .stranger(3)) == true)
        #expect(external.mapping == .endpointIndependent(seen))
        // Two of five who lie change nothing.
        for liar in 4...5 { _ = external.vote(.stranger(666), by: .stranger(UInt32(liar))) }
        #expect(external.mapping == .endpointIndependent(seen))
        // Another port everywhere.
        var symmetric = ExternalAddress()
        for number in 1...3 {
            _ = symmetric.vote(
                TransportAddress(seen.address, port: UInt16(5000 + number)), by: .stranger(UInt32(number)))
        }
        #expect(symmetric.mapping == .endpointDependent(seen.address))
        // A local address in the mouth of a stranger is none.
        var local = ExternalAddress()
        for number in 1...5 {
            _ = local.vote(TransportAddress(.v4(0x0a00_0001), port: 1), by: .stranger(UInt32(number)))
        }
        #expect(local.mapping == .unknown)
    }

    @Test func distances() {
        var entropy = Entropy.seed(7)
        for count in 0..<160 {
            let id = NodeID.random(using: &entropy)
            #expect(NodeID.random(sharing: count, with: id, using: &entropy).sharedPrefix(with: id) == count)
            #expect(NodeID(bytes: id.bytes) == id)
        }
        #expect(NodeID(bytes: [UInt8](repeating: 0, count: 19)) == nil)
    }
}
