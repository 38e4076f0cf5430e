import Magnet
import SwarmBase
import Testing

@testable import SwarmEngine

/// Local service discovery (BEP 14).
@Suite struct LANTests {
    private let hash = InfoHash(bytes: [UInt8](repeating: 0xab, count: 20))

    @Test func announcementsAreWrittenAndRead() throws {
        let announcement = LANAnnouncement(port: 7000, infoHashes: [try #require(hash)], cookie: "c")
        let bytes = announcement.bytes(to: .v4)
        let text = String(decoding: bytes, as: UTF8.self)
        let hex = String(repeating: "ab", count: 20)
        #expect(
            text
                == "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 7000\r\nInfohash: \(hex)\r\ncookie: c\r\n\r\n\r\n"
        )
        #expect(LANAnnouncement(parsing: bytes) == announcement)
        #expect(
            String(decoding: announcement.bytes(to: .v6), as: UTF8.self).contains("Host: [ff15::efc0:988f]:6771\r\n"))
    }

    @Test func whatOthersWriteIsRead() throws {
        // Upper case, no cookie, several infohashes, unknown headers.
        let hex = String(repeating: "AB", count: 20)
        let text = "BT-SEARCH * HTTP/1.1\r\nX: y\r\nINFOHASH: \(hex)\r\ninfohash:\(hex)\r\nPort:6881\r\n\r\n\r\n"
        let read = try #require(LANAnnouncement(parsing: Array(text.utf8)))
        #expect(read.port == 6881 && read.infoHashes.count == 2 && read.infoHashes.first == hash && read.cookie == nil)
        for bad in [
            "", "BT-SEARCH * HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nPort: 1\r\nInfohash: \(hex)\r\n",
            "BT-SEARCH * HTTP/1.1\r\nPort: 0\r\nInfohash: \(hex)\r\n",
            "BT-SEARCH * HTTP/1.1\r\nPort: 65536\r\nInfohash: \(hex)\r\n",
            "BT-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: abc\r\n",
        ] {
            #expect(LANAnnouncement(parsing: Array(bad.utf8)) == nil, "\(bad)")
        }
        let long = Array(text.utf8) + [UInt8](repeating: 0x20, count: LANAnnouncement.largest)
        #expect(LANAnnouncement(parsing: long) == nil)
    }

    @Test func membersFindEachOtherAndTellTheNetworkNothing() throws {
        let swarm = VirtualSwarm(seed: 40) { $0.usesLocalNetwork = true }
        let alice = try swarm.addNode(name: "alice", planes: [])
        let bob = try swarm.addNode(name: "bob", planes: [])
        var said: [[UInt8]] = []
        while let (_, payload) = alice.engine.pollAnnouncement() { said.append(payload) }
        #expect(said.count == LANGroup.allCases.count)
        let infoHash = "\(alice.engine.infoHash)"
        #expect(said.allSatisfy { !String(decoding: $0, as: UTF8.self).contains(infoHash) })
        let first = try #require(said.first)
        // Its own comes back: multicast works here, and nobody is sought.
        swarm.act(alice) { $0.handle(announcement: first, from: alice.address.address, now: swarm.now) }
        #expect(alice.engine.planes.first { $0.kind == .lan }?.state == .working)
        swarm.act(bob) { $0.handle(announcement: first, from: alice.address.address, now: swarm.now) }
        let took = swarm.run(within: .seconds(5)) { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        #expect(try #require(took) < .milliseconds(300))
        #expect(bob.events.contains { $0.event == .discovered(alice.id, .lan) })
    }

    @Test func announcementsAreRare() throws {
        let swarm = VirtualSwarm(seed: 41) { $0.usesLocalNetwork = true }
        let alice = try swarm.addNode(name: "alice", planes: [])
        var count = 0
        for _ in 0..<60 {
            swarm.run(for: .seconds(10))
            while alice.engine.pollAnnouncement() != nil { count += 1 }
        }
        // Two at the start, then about one a minute, to two groups each.
        #expect((18...28).contains(count), "\(count) in ten minutes")
    }
}
