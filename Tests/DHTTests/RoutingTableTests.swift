import SwarmBase
import Testing

@testable import DHT

@Suite struct RoutingTableTests {
    private var entropy = Entropy.seed(11)

    private func table(_ own: NodeID) -> RoutingTable { RoutingTable(ownID: own, sizes: [8], now: .zero) }

    @Test func theClosestAreFound() {
        var entropy = Entropy.seed(3)
        let own = NodeID.random(using: &entropy)
        var table = table(own)
        for number in 0..<2000 {
            table.answered(NodeContact(id: .random(using: &entropy), address: .stranger(UInt32(number))), now: .zero)
        }
        #expect(table.bucketCount > 6)
        #expect(table.count > 50)
        let all = table.contacts
        for _ in 0..<200 {
            let target =
                Bool.random(using: &entropy)
                ? NodeID.random(using: &entropy)
                : .random(sharing: Int.random(in: 0..<20, using: &entropy), with: own, using: &entropy)
            let nearest = all.sorted { $0.id.distance(to: target) < $1.id.distance(to: target) }.prefix(8)
            #expect(table.closest(to: target, count: 8) == Array(nearest))
        }
    }

    @Test func oneOfEachNetworkInABucket() {
        var entropy = Entropy.seed(4)
        let own = NodeID.random(using: &entropy)
        var table = table(own)
        func far() -> NodeID { .random(sharing: 0, with: own, using: &entropy) }
        #expect(
            table.answered(NodeContact(id: far(), address: TransportAddress(.v4(0x2d010101), port: 1)), now: .zero)
                == true)
        #expect(
            table.answered(NodeContact(id: far(), address: TransportAddress(.v4(0x2d010102), port: 1)), now: .zero)
                == false)
        #expect(
            table.answered(NodeContact(id: far(), address: TransportAddress(.v4(0x2d010201), port: 1)), now: .zero)
                == true)
        // The same address never twice, in whatever bucket.
        let near = NodeID.random(sharing: 9, with: own, using: &entropy)
        #expect(
            table.answered(NodeContact(id: near, address: TransportAddress(.v4(0x2d010101), port: 2)), now: .zero)
                == false)
        // Local addresses are free.
        for port in 1...4 {
            let contact = NodeContact(id: far(), address: TransportAddress(.v4(0x7f000001), port: UInt16(port)))
            #expect(table.answered(contact, now: .zero) == true)
        }
    }

    @Test func whoFailsMakesRoom() throws {
        var entropy = Entropy.seed(5)
        let own = NodeID.random(using: &entropy)
        var table = table(own)
        var contacts: [NodeContact] = []
        for port in 1...20 {
            let contact = NodeContact(
                id: .random(sharing: 0, with: own, using: &entropy),
                address: TransportAddress(.v4(0x7f000001), port: UInt16(port)))
            contacts.append(contact)
            #expect(table.answered(contact, now: .zero) == (port <= 8))
        }
        table.failed(contacts[0])
        #expect(table.contains(contacts[0].address))
        table.failed(contacts[0])
        #expect(!table.contains(contacts[0].address))
        #expect(table.contains(contacts[19].address))
        #expect(table.count == 8)
    }

    /// A node that says that an id is its own does not get its place while the owner answers.
    @Test func idsAreNotTaken() {
        var entropy = Entropy.seed(6)
        var table = table(.random(using: &entropy))
        let honest = NodeContact(id: .random(using: &entropy), address: .stranger(1))
        let thief = NodeContact(id: honest.id, address: .stranger(2))
        #expect(table.answered(honest, now: .zero) == true)
        #expect(table.answered(thief, now: .zero) == false)
        #expect(table.contacts == [honest])
        table.failed(honest)
        table.failed(honest)
        #expect(table.answered(thief, now: .zero) == true)
        #expect(table.contacts == [thief])
    }

    /// Who has joined looks once into each part in which it knows few, and in no other.
    @Test func everyPartIsLookedInto() throws {
        var entropy = Entropy.seed(8)
        let own = NodeID.random(using: &entropy)
        var table = table(own)
        table.touch(own, now: .zero)
        func answer(sharing count: Int, from ports: ClosedRange<UInt16>) {
            for port in ports {
                table.answered(
                    NodeContact(
                        id: .random(sharing: count, with: own, using: &entropy),
                        address: TransportAddress(.v4(0x7f000001), port: port)), now: .zero)
            }
        }
        // Eight in the farthest part are enough, seven in the next are not, and of those in between nobody is known.
        answer(sharing: 0, from: 1...8)
        answer(sharing: 1, from: 11...17)
        answer(sharing: 4, from: 21...27)
        #expect(table.unexploredTarget(enough: 8, entropy: &entropy) == nil, "too few are nearer")
        answer(sharing: 4, from: 28...28)
        for part in 1...3 {
            let target = try #require(table.unexploredTarget(enough: 8, entropy: &entropy))
            #expect(target.sharedPrefix(with: own) == part)
            table.touch(target, now: .zero)
        }
        #expect(table.unexploredTarget(enough: 8, entropy: &entropy) == nil)
        table.forgetExplored()
        #expect(table.unexploredTarget(enough: 8, entropy: &entropy)?.sharedPrefix(with: own) == 1)
    }

    /// Nobody is left who knows nobody where others are: the nodes that a new one finds first are all near itself.
    @Test func everyPartIsKnown() throws {
        var network = LoopbackDHT(count: 120, seed: 14)
        network.run(for: .seconds(20))
        let ids = try network.nodes.map { try #require($0.ownID(.ipv4)) }
        for (node, own) in zip(network.nodes, ids) {
            let known = try #require(node.families[.ipv4]?.table.contacts)
            for part in 0..<3 {
                let there = ids.count { $0.sharedPrefix(with: own) == part }
                let isKnown = known.contains { $0.id.sharedPrefix(with: own) == part }
                #expect(isKnown || there == 0, "none of \(there) in part \(part)")
            }
        }
    }

    @Test func savedAndRevived() throws {
        var network = LoopbackDHT(count: 12, seed: 9)
        network.run(for: .seconds(20))
        let saved = network.nodes[5].savedTable
        #expect(saved.count < 16_384)
        let revived = DHTNode(entropy: .seed(99), saved: saved, now: network.now)
        #expect(revived.ownID(.ipv4) == network.nodes[5].ownID(.ipv4))
        #expect(revived.savedTable == saved)
        network.replace(5, by: revived)
        network.run(for: .seconds(10))
        #expect(network.nodes[5].nodeCount(.ipv4) >= 5)
        // What is no table is none.
        #expect(DHTNode(entropy: .seed(1), saved: Array("d4:spam4:eggse".utf8), now: .zero).nodeCount(.ipv4) == 0)
    }
}
