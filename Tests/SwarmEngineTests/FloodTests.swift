import DHT
import SwarmBase
import Testing

@testable import SwarmEngine

/// A member whose port is flooded with everything that may come there: from strangers, and in its friends' names.
@Suite struct FloodTests {
    /// One datagram of each kind that the port knows, and of none.
    private static func datagram(_ number: Int, _ entropy: inout Entropy) -> [UInt8] {
        let noise = entropy.bytes(Int.random(in: 1...600, using: &entropy))
        let transaction = entropy.bytes(12)
        switch number % 9 {
        case 0: return [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42] + transaction  // a STUN request
        case 1: return [1, 1, 0, UInt8(noise.count & 0x7c), 0x21, 0x12, 0xa4, 0x42] + transaction + noise
        case 2: return [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, UInt8(number & 0xff)] + noise  // a DTLS handshake
        case 3: return [23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, UInt8(number & 0xff)] + noise  // DTLS data
        case 4: return [0x40, 0, 0, UInt8(noise.count & 0xff)] + noise  // TURN's ChannelData
        case 5:
            let query = KRPCQuery(sender: .random(using: &entropy), method: .findNode(.random(using: &entropy)))
            return KRPCMessage(transaction: [1, 2], body: .query(query)).encoded
        case 6: return [0x53] + entropy.bytes(4) + [0, UInt8(1 + number % 16)] + noise  // signaling, in pieces
        case 7: return [0, 0, 0, UInt8(number % 4)] + entropy.bytes(4) + noise  // a UDP tracker's answer
        default: return noise
        }
    }

    @Test(arguments: [1, 2] as [UInt64]) func everythingStaysInItsBounds(seed: UInt64) throws {
        let swarm = VirtualSwarm(seed: seed) { $0.usesDHT = true }
        swarm.startDHT(count: 10)
        let alice = try swarm.addNode(name: "alice", planes: [.gun])
        let bob = try swarm.addNode(name: "bob", planes: [.gun])
        swarm.act(alice) {
            $0.addDHTBootstrap(swarm.dhtAddress(1), now: swarm.now)
            $0.addUDPTracker(TransportAddress(.v4(0x0b00_0001), port: 6969), name: "udp://t:6969", now: swarm.now)
        }
        let met = swarm.run(within: .seconds(10)) { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        #expect(met != nil)
        var entropy = Entropy.seed(seed)
        var (received, sent) = (0, 0)
        let friends = [bob.address, swarm.dhtAddress(1), TransportAddress(.v4(0x0b00_0001), port: 6969)]
        for number in 0..<6_000 {
            let datagram = Self.datagram(number, &entropy)
            // A flood has any address it likes to have.
            let stranger = TransportAddress(.v4(0x2000_0000 | UInt32(truncatingIfNeeded: entropy.next())), port: 7)
            let source = number % 5 == 0 ? friends[number % 3] : stranger
            received += datagram.count
            swarm.act(alice) {
                $0.handle(datagram: datagram, from: source, now: swarm.now)
                while let transmit = $0.pollTransmit() { sent += transmit.payload.count }
            }
            if number % 20 == 0 { swarm.run(for: .milliseconds(1)) }
            guard number % 1_000 == 0 else { continue }
            let (members, connections) = (alice.engine.members.count, alice.engine.connections.count)
            #expect(members == 1 && connections <= 2, "seed \(seed): nobody becomes a member by noise")
            let targets = alice.engine.datagrams.targets.count
            #expect(targets <= DatagramPlane.mostTargets)
            let node = try #require(alice.engine.dht?.node)
            #expect(node.stored.infoHashes <= 10 && node.stored.items <= 20)
            #expect(node.nodeCount(.ipv4) <= 10)
        }
        #expect(sent < received, "seed \(seed): \(sent) bytes for \(received)")
        // It still works.
        swarm.run(for: .seconds(1))
        _ = try swarm.send("still here", from: alice, to: bob)
        #expect(swarm.run(within: .seconds(10)) { bob.texts(from: alice) == ["still here"] } != nil, "seed \(seed)")
    }
}
