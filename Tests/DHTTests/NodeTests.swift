import Bencode
import Crypto
import SwarmBase
import Testing

@testable import DHT

@Suite struct NodeTests {
    @Test(arguments: [false, true]) func announcedPeersAreFound(isIPv6: Bool) throws {
        var network = LoopbackDHT(count: 16, seed: 21, isIPv6: isIPv6)
        network.run(for: .seconds(10))
        #expect(network.nodes.allSatisfy { $0.nodeCount(isIPv6 ? .ipv6 : .ipv4) >= 8 })
        var entropy = Entropy.seed(5)
        let infoHash = NodeID.random(using: &entropy)
        let announce = network.nodes[3].getPeers(infoHash, announcing: 0, now: network.now)
        let explicit = network.nodes[4].getPeers(infoHash, announcing: 4711, now: network.now)
        network.run(for: .seconds(5))
        for (index, id) in [(3, announce), (4, explicit)] {
            let outcome = try #require(
                network.events[index].compactMap { event -> DHTOutcome? in
                    if case .finished(id, let outcome) = event { outcome } else { nil }
                }.first)
            #expect(outcome.stored == 8)
            #expect(outcome.closest.count == 8)
        }
        let search = network.nodes[12].getPeers(infoHash, now: network.now)
        network.run(for: .seconds(5))
        let found = network.events[12].flatMap { event -> [TransportAddress] in
            if case .peers(search, let peers) = event { peers } else { [] }
        }
        #expect(Set(found) == [network.address(3), TransportAddress(network.address(4).address, port: 4711)])
        #expect(found.count == 2, "each peer once")
    }

    @Test func itemsAreFoundAndHealed() throws {
        var network = LoopbackDHT(count: 16, seed: 22)
        network.run(for: .seconds(10))
        let key = Curve25519.Signing.PrivateKey()
        let item = try #require(MutableItem("first", sequence: 1, salt: [7], signedBy: key))
        _ = network.nodes[1].put(.mutable(item), now: network.now)
        let immutable = try #require(DHTItem.immutable(["list", 5]))
        _ = network.nodes[1].put(immutable, now: network.now)
        network.run(for: .seconds(5))
        let second = try #require(MutableItem("second", sequence: 2, salt: [7], signedBy: key))
        _ = network.nodes[9].put(.mutable(second), now: network.now)
        network.run(for: .seconds(5))
        let get = network.nodes[14].getMutable(key: item.key, salt: [7], now: network.now)
        let getImmutable = network.nodes[14].getImmutable(immutable.target, now: network.now)
        network.run(for: .seconds(5))
        let items = network.events[14].compactMap { event -> DHTItem? in
            if case .item(let id, let item) = event, id == get || id == getImmutable { item } else { nil }
        }
        // Who has put the second keeps the first, if it was given that: it may be told of before the second, not after it.
        #expect(items.filter { $0 == .mutable(item) || $0 == .mutable(second) }.last == .mutable(second))
        #expect(Set(items).subtracting([.mutable(item)]) == [.mutable(second), immutable])
        // Nothing that is not newer is told of.
        let again = network.nodes[14].getMutable(key: item.key, salt: [7], newerThan: 2, now: network.now)
        network.run(for: .seconds(5))
        #expect(!network.events[14].contains { if case .item(again, _) = $0 { true } else { false } })
        #expect(network.events[14].contains { if case .finished(again, _) = $0 { true } else { false } })
    }

    /// The address that others see, on one machine: our own, so strangers can reach us.
    @Test func addressesAreLearned() throws {
        var network = LoopbackDHT(count: 8, seed: 23)
        network.run(for: .seconds(10))
        for index in 1..<8 {
            #expect(network.nodes[index].externalMapping(.ipv4) == .endpointIndependent(network.address(index)))
        }
    }

    @Test func aSearchWithoutAnybodyIsOver() {
        var node = DHTNode(entropy: .seed(1), now: .zero)
        var entropy = Entropy.seed(2)
        let id = node.getPeers(.random(using: &entropy), now: .zero)
        #expect(node.pollEvent() == .finished(id, DHTOutcome()))
        #expect(node.pollTransmit() == nil)
    }

    /// BEP 43: begins read-only and says so; answers nobody until it knows that it can be reached.
    @Test func readOnlyUntilReached() throws {
        var conversation = Conversation(configuration: DHTConfiguration())
        #expect(conversation.node.isReadOnly)
        conversation.node.addBootstrap(.stranger(50), now: .zero)
        conversation.node.handleTimeout(now: .zero)
        let sent = conversation.node.pollTransmit()
        let first = try #require(sent)
        #expect(try KRPCMessage(decoding: first.payload).isReadOnly)
        var entropy = Entropy.seed(1)
        let ping = KRPCMessage(
            transaction: [1], body: .query(KRPCQuery(sender: .random(using: &entropy), method: .ping))
        ).encoded
        // Whom we asked proves nothing; one stranger is not enough; two are.
        #expect(conversation.exchange(ping, from: .stranger(50)).isEmpty)
        #expect(conversation.exchange(ping, from: .stranger(51)).isEmpty)
        #expect(conversation.exchange(ping, from: .stranger(51)).isEmpty)
        #expect(conversation.exchange(ping, from: .stranger(52)).count == 1)
        #expect(!conversation.node.isReadOnly)
    }

    @Test func readOnlyNodesAreNotKept() throws {
        var conversation = Conversation()
        var entropy = Entropy.seed(1)
        let query = KRPCQuery(sender: .random(using: &entropy), method: .ping)
        func pings(isReadOnly: Bool, from source: TransportAddress) -> Int {
            conversation.node.handle(
                datagram: KRPCMessage(transaction: [1], body: .query(query), isReadOnly: isReadOnly).encoded,
                from: source,
                now: .zero)
            var count = 0
            while let transmit = conversation.node.pollTransmit() {
                if let message = try? KRPCMessage(decoding: transmit.payload), case .query = message.body { count += 1 }
            }
            return count
        }
        #expect(pings(isReadOnly: true, from: .stranger(1)) == 0)
        #expect(pings(isReadOnly: false, from: .stranger(1)) == 1)
    }

    // MARK: Abuse

    @Test func whoAsksTooMuchIsNotHeard() throws {
        var conversation = Conversation()
        var answered = 0
        var entropy = Entropy.seed(1)
        let ping = KRPCMessage(
            transaction: [1], body: .query(KRPCQuery(sender: .random(using: &entropy), method: .ping))
        ).encoded
        for _ in 0..<200 { answered += conversation.exchange(ping, from: .stranger(1)).count }
        #expect(answered == 50)
        #expect(conversation.exchange(ping, from: .stranger(2)).count == 1)
        conversation.now += .seconds(299)
        #expect(conversation.exchange(ping, from: .stranger(1)).isEmpty)
        conversation.now += .seconds(2)
        #expect(conversation.exchange(ping, from: .stranger(1)).count == 1)
    }

    /// An answer is not much longer than what caused it.
    @Test func noAmplification() throws {
        var network = LoopbackDHT(count: 40, seed: 24)
        network.run(for: .seconds(15))
        var conversation = Conversation()
        conversation.node = network.nodes[0]
        conversation.now = network.now
        var entropy = Entropy.seed(1)
        let infoHash = NodeID.random(using: &entropy)
        for number in 1...400 {
            let source = TransportAddress.stranger(UInt32(number))
            conversation.now += .seconds(1)
            guard let token = try conversation.response(.getPeers(infoHash), from: source).token else { break }
            _ = try conversation.response(.announcePeer(infoHash, port: 5, token: token), from: source)
        }
        for method in [KRPCQuery.Method.ping, .findNode(infoHash), .getPeers(infoHash), .sampleInfoHashes(infoHash)] {
            let source = TransportAddress.stranger(999)
            let query = KRPCMessage(
                transaction: [1, 2],
                body: .query(KRPCQuery(sender: infoHash, method: method, wants: [.ipv4, .ipv6]))
            ).encoded
            let answer = try #require(conversation.exchange(query, from: source).first)
            #expect(answer.count <= 1024)
            #expect(answer.count <= 12 * query.count)
        }
    }

    /// A flood from everywhere: memory stays where the configuration puts it, and honest queries are answered afterwards.
    @Test func aFloodIsBounded() throws {
        var configuration = DHTConfiguration.reachable
        configuration.storage.infoHashes = 100
        configuration.storage.peersPerInfoHash = 10
        configuration.storage.items = 50
        configuration.service.sources = 512
        var conversation = Conversation(configuration: configuration)
        var entropy = Entropy.seed(77)
        for number in 0..<20_000 {
            let source = TransportAddress.stranger(UInt32(number))
            conversation.now += .milliseconds(5)
            let infoHash = NodeID.random(using: &entropy)
            let token = conversation.node.tokens.token(for: source.address, target: infoHash)
            let method: KRPCQuery.Method
            switch number % 4 {
            case 0: method = .announcePeer(infoHash, port: 1, token: token)
            case 1:
                guard let item = DHTItem.immutable(.bytes(entropy.bytes(900))) else { continue }
                method = .put(
                    item, cas: nil, token: conversation.node.tokens.token(for: source.address, target: item.target))
            case 2: method = .findNode(infoHash)
            default: method = .getPeers(infoHash)
            }
            let query = KRPCMessage(transaction: [1], body: .query(KRPCQuery(sender: infoHash, method: method)))
            _ = conversation.exchange(query.encoded, from: source)
            if number % 100 == 0 { conversation.node.handleTimeout(now: conversation.now) }
            while conversation.node.pollTransmit() != nil {}
            while conversation.node.pollEvent() != nil {}
        }
        #expect(conversation.node.stored.infoHashes <= 100)
        #expect(conversation.node.stored.items <= 50)
        #expect(conversation.node.limiter.count <= 512)
        #expect(conversation.node.transactions.count <= 64)
        #expect(conversation.node.operations.count <= 8)
        // None of the flooders has answered a query of ours.
        #expect(conversation.node.nodeCount(.ipv4) == 0)
        conversation.now += .seconds(10)
        _ = try conversation.response(.ping, from: .stranger(900_000))
    }

    /// One source fills no more than its share.
    @Test func oneSourceIsBounded() throws {
        var conversation = Conversation()
        var entropy = Entropy.seed(3)
        let source = TransportAddress.stranger(1)
        for _ in 0..<200 {
            conversation.now += .seconds(1)
            let infoHash = NodeID.random(using: &entropy)
            let token = conversation.node.tokens.token(for: source.address, target: infoHash)
            _ = try conversation.ask(.announcePeer(infoHash, port: 1, token: token), from: source)
            let item = try #require(DHTItem.immutable(.bytes(infoHash.bytes)))
            _ = try conversation.ask(
                .put(item, cas: nil, token: conversation.node.tokens.token(for: source.address, target: item.target)),
                from: source)
        }
        #expect(conversation.node.stored.infoHashes == 50)
        #expect(conversation.node.stored.items == 20)
    }
}
