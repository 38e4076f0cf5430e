import SwarmBase
import Testing

@testable import ICE

/// A peer that is scripted by the test: it answers checks and sends what the test wants, as browsers do.
final class ScriptedPeer {
    let lab: Lab
    let node: Node
    let credentials: ICECredentials
    var answers = true
    /// Requests that arrived, by the address of ours that they came to.
    var requests: [(at: Instant, message: STUNMessage)] = []
    private(set) var outcomes: [STUNTransactionID: STUNMessage] = [:]

    init(_ lab: Lab, _ name: String, _ addresses: [String]) {
        self.lab = lab
        node = lab.add(name, addresses, role: .controlled)
        credentials = node.agent.localCredentials
        node.script = { [unowned self] datagram, source, _ in
            guard let received = try? ReceivedSTUNMessage(parsing: datagram) else { return [] }
            guard received.message.messageClass == .request else {
                outcomes[received.message.transactionID] = received.message
                return []
            }
            #expect(received.isAuthentic(key: credentials.key))
            requests.append((lab.now, received.message))
            guard answers else { return [] }
            let answer = STUNMessage(
                .success, transactionID: received.message.transactionID, attributes: [.xorMappedAddress(source)])
            return [Transmit(to: source, payload: answer.encoded(key: credentials.key))]
        }
    }

    /// Sends one check from one of our addresses.
    @discardableResult
    func check(
        _ target: Node, from index: Int = 0, nominates: Bool = false, controlling: Bool = true,
        more: [STUNAttribute] = [], password: String? = nil, username: String? = nil
    ) -> STUNTransactionID {
        let id = STUNTransactionID.random(using: &lab.random)
        let theirs = target.agent.localCredentials
        var attributes: [STUNAttribute] = [
            .username(Array((username ?? "\(theirs.ufrag):\(credentials.ufrag)").utf8)),
            .other(type: 0xc057, value: [0, 0, 3, 0xe7]),
            controlling ? .iceControlling(1) : .iceControlled(1),
        ]
        if nominates { attributes.append(.useCandidate) }
        attributes += [.priority(0x6e00_1eff)] + more
        let message = STUNMessage(.request, transactionID: id, attributes: attributes)
        let key = STUNIntegrityKey(password: password ?? theirs.password)
        send(message.encoded(key: key), from: index, to: target)
        return id
    }

    func send(_ payload: [UInt8], from index: Int = 0, to target: Node) {
        lab.send(Transmit(to: target.addresses[0], payload: payload), from: node, at: node.addresses[index])
    }
}

@Suite struct NominationTests {
    private func setUp(
        role: ICEAgent.Role, peer addresses: [String] = ["192.0.2.9:9001", "192.0.2.9:9002"], isLite: Bool = false
    ) -> (Lab, Node, ScriptedPeer) {
        let lab = Lab(seed: 3)
        let agent = lab.add("agent", ["192.0.2.1:1000"], role: role)
        lab.gather(agent)
        let peer = ScriptedPeer(lab, "peer", addresses)
        agent.agent.setRemote(credentials: peer.credentials, isLite: isLite, now: lab.now)
        for (rank, address) in peer.node.addresses.enumerated() {
            agent.agent.addRemoteCandidate(.host(address, rank: UInt16(rank)), now: lab.now)
        }
        return (lab, agent, peer)
    }

    @Test func aggressiveNominationPrefersTheBetterPair() {
        let (lab, agent, peer) = setUp(role: .controlled)
        let (good, bad) = (peer.node.addresses[0], peer.node.addresses[1])
        // Every check of the peer nominates, the worse pair first and last.
        for round in 0..<10 {
            peer.check(agent, from: 1, nominates: true)
            peer.check(agent, from: 0, nominates: true)
            if round > 5 { peer.check(agent, from: 1, nominates: true) }
            lab.run(for: .milliseconds(50))
        }
        #expect(agent.agent.sendAddress == good)
        // The peer now nominates the worse pair only: we follow once the better one is no longer nominated.
        for _ in 0..<20 {
            peer.check(agent, from: 1, nominates: true)
            lab.run(for: .milliseconds(500))
        }
        #expect(agent.agent.sendAddress == bad)
        // And back at once.
        peer.check(agent, from: 0, nominates: true)
        lab.run(for: .milliseconds(50))
        #expect(agent.agent.sendAddress == good)
        #expect(agent.states == [.checking, .connected])
    }

    @Test func secondNominationByAPeerThatNominatesOnce() {
        let (lab, agent, peer) = setUp(role: .controlled)
        peer.check(agent, from: 0, nominates: true)
        lab.run(for: .seconds(1))
        #expect(agent.agent.sendAddress == peer.node.addresses[0])
        peer.check(agent, from: 1, nominates: true)
        lab.run(for: .seconds(1))
        #expect(agent.agent.sendAddress == peer.node.addresses[0], "the better one was nominated just now")
        for _ in 0..<20 {
            peer.check(agent, from: 0)
            peer.check(agent, from: 1)
            lab.run(for: .seconds(1))
        }
        #expect(agent.agent.sendAddress == peer.node.addresses[1], "but not any more")
    }

    @Test func nominationOfAPairThatIsNotValidYet() {
        let (lab, agent, peer) = setUp(role: .controlled)
        lab.run(for: .milliseconds(100))
        peer.answers = false
        // A new address, nominated with its first check.
        peer.node.addresses.append(TransportAddress(.v4(0xc000_0209), port: 9003))
        peer.check(agent, from: 2, nominates: true)
        lab.run(for: .milliseconds(100))
        #expect(agent.agent.sendAddress == peer.node.addresses[0])
        peer.answers = true
        lab.run(for: .milliseconds(500))
        #expect(agent.agent.sendAddress == peer.node.addresses[2])
    }

    @Test func aNominationIsRepeatedWhenThePeerFirstChecks() {
        let (lab, agent, peer) = setUp(role: .controlling, peer: ["192.0.2.9:9001"])
        lab.run(for: .milliseconds(200))
        #expect(peer.requests.filter(\.message.hasUseCandidate).count == 1, "answered, so not sent again")
        // Our description has reached it only now.
        peer.check(agent, controlling: false)
        lab.run(for: .milliseconds(10))
        #expect(peer.requests.filter(\.message.hasUseCandidate).count == 2)
        peer.check(agent, controlling: false)
        lab.run(for: .milliseconds(10))
        #expect(peer.requests.filter(\.message.hasUseCandidate).count == 2, "once is enough")
    }

    @Test(arguments: [true, false])
    func aRestartMovesDataWhenBothSidesHaveSettled(peerChecks: Bool) {
        let (lab, agent, peer) = setUp(role: .controlling, peer: ["192.0.2.9:9001", "192.0.2.9:9002"])
        let (old, new) = (peer.node.addresses[0], peer.node.addresses[1])
        peer.check(agent, controlling: false)
        lab.run(for: .seconds(1))
        #expect(agent.agent.sendAddress == old)
        agent.agent.restart(now: lab.now)
        agent.agent.setRemote(credentials: peer.credentials, isLite: false, now: lab.now)
        agent.agent.addRemoteCandidate(.host(new), now: lab.now)
        lab.run(for: .milliseconds(500))
        #expect(agent.agent.sendAddress == old, "valid and nominated at our end, but the peer has not checked it")
        if peerChecks {
            peer.check(agent, from: 1, controlling: false)
            lab.run(for: .milliseconds(10))
            #expect(agent.agent.sendAddress == new)
        } else {
            // A peer that never checks is not waited for without end.
            lab.run(for: .milliseconds(1400))
            #expect(agent.agent.sendAddress == old)
            lab.run(for: .milliseconds(200))
            #expect(agent.agent.sendAddress == new)
        }
        #expect(agent.agent.generations.count == 1)
    }

    @Test func renominationIsIgnored() {
        // The attribute of the expired draft: a counter that a peer may send although we offer no such thing.
        let (lab, agent, peer) = setUp(role: .controlled)
        lab.run(for: .milliseconds(100))
        for counter in [UInt8(7), 3, 9] {
            let id = peer.check(agent, nominates: true, more: [.other(type: 0xc001, value: [0, 0, 0, counter])])
            lab.run(for: .milliseconds(50))
            #expect(peer.outcomes[id]?.messageClass == .success)
            #expect(agent.agent.sendAddress == peer.node.addresses[0])
        }
    }

    @Test func followsDataOfTheControllingPeer() {
        let (lab, agent, peer) = setUp(role: .controlled)
        lab.run(for: .milliseconds(200))
        peer.check(agent, from: 0, nominates: true)
        lab.run(for: .milliseconds(10))
        peer.send([23, 0], from: 0, to: agent)
        lab.run(for: .milliseconds(300))
        peer.send([23, 0], from: 1, to: agent)
        lab.run(for: .milliseconds(5))
        #expect(agent.agent.sendAddress == peer.node.addresses[1])
        // A packet that was overtaken does not switch back.
        peer.send([23, 0], from: 0, to: agent)
        lab.run(for: .milliseconds(5))
        #expect(agent.agent.sendAddress == peer.node.addresses[1])
    }

    @Test func nominatesTheBestPair() throws {
        let (lab, agent, peer) = setUp(role: .controlling)
        lab.run(for: .seconds(1))
        let nominations = peer.requests.filter { $0.message.hasUseCandidate }
        #expect(agent.agent.sendAddress == peer.node.addresses[0])
        let first = try #require(nominations.first)
        // The best pair's first answer came after 2 ms: nobody waits for the second one.
        #expect(first.at == .zero + .milliseconds(3))
        #expect(nominations.count == 1)
    }

    @Test func waitsForABetterPairOnlySoLong() throws {
        let (lab, agent, peer) = setUp(role: .controlling)
        lab.isCut = { _, destination in destination == peer.node.addresses[0] }
        lab.run(for: .seconds(1))
        let first = try #require(peer.requests.first { $0.message.hasUseCandidate })
        // The second pair was checked at 20 ms and answered at 22 ms; 100 ms later it is nominated.
        #expect(first.at == .zero + .milliseconds(123))
        #expect(agent.agent.sendAddress == peer.node.addresses[1])
        // The better kind is the same kind here: no reason to move when the first one comes to life.
        lab.isCut = { _, _ in false }
        lab.run(for: .seconds(20))
        #expect(agent.agent.sendAddress == peer.node.addresses[1])
    }

    @Test func movesToAClearlyBetterPairWithoutHaste() throws {
        let (lab, agent, peer) = setUp(role: .controlling, peer: ["192.0.2.9:9001"])
        agent.agent.addRemoteCandidate(
            Candidate(
                kind: .relayed, address: TransportAddress(.v4(0xc000_0209), port: 9002), priority: 1, foundation: "r"),
            now: lab.now)
        peer.node.addresses.append(TransportAddress(.v4(0xc000_0209), port: 9002))
        lab.isCut = { _, destination in destination == peer.node.addresses[0] }
        lab.run(for: .seconds(1))
        #expect(agent.agent.sendAddress == peer.node.addresses[1])
        let relayedNomination = try #require(peer.requests.first { $0.message.hasUseCandidate })
        #expect(relayedNomination.at == .zero + .milliseconds(223), "200 ms for relayed pairs")
        lab.isCut = { _, _ in false }
        lab.run(for: .seconds(10))
        #expect(agent.agent.sendAddress == peer.node.addresses[0])
        let direct = try #require(agent.checks.first { $0.message.hasUseCandidate && $0.to == peer.node.addresses[0] })
        #expect(direct.at - relayedNomination.at >= .milliseconds(1990))
        // From then on only the new pair is nominated, and nothing swings back.
        let later = agent.checks.filter { $0.at >= direct.at && $0.message.hasUseCandidate }
        #expect(later.allSatisfy { $0.to == peer.node.addresses[0] } && later.count >= 2)
        let moves = agent.events.count { if case .selectedPairChanged = $0.event { true } else { false } }
        #expect(moves == 2)
    }

    @Test func litePeer() throws {
        let (lab, agent, peer) = setUp(role: .controlled, isLite: true)
        lab.run(for: .seconds(30))
        let role = agent.agent.role
        #expect(role == .controlling)
        let state = agent.agent.state
        #expect(state == .connected)
        #expect(
            peer.requests.allSatisfy {
                $0.message.attributes.contains { if case .iceControlling = $0 { true } else { false } }
            })
        #expect(peer.requests.filter { $0.message.hasUseCandidate }.count >= 5, "consent checks nominate as well")
    }

    @Test func roleConflictAnswers() throws {
        let (lab, agent, peer) = setUp(role: .controlling)
        // Our tie-breaker beats 1.
        let id = peer.check(agent, nominates: true, controlling: true)
        lab.run(for: .milliseconds(10))
        #expect(peer.outcomes[id]?.errorCode == 487)
        var role = agent.agent.role
        #expect(role == .controlling)
        // A peer with the highest one wins.
        let higher = STUNMessage(
            .request, transactionID: .random(using: &lab.random),
            attributes: [
                .username(Array("\(agent.agent.localCredentials.ufrag):\(peer.credentials.ufrag)".utf8)),
                .priority(1), .iceControlling(.max),
            ])
        peer.send(higher.encoded(key: agent.agent.localCredentials.key), to: agent)
        lab.run(for: .milliseconds(10))
        #expect(peer.outcomes[higher.transactionID]?.messageClass == .success)
        role = agent.agent.role
        #expect(role == .controlled)
        // Controlled both: the higher tie-breaker becomes controlling.
        let controlled = peer.check(agent, controlling: false)
        lab.run(for: .milliseconds(10))
        #expect(peer.outcomes[controlled]?.messageClass == .success)
        role = agent.agent.role
        #expect(role == .controlling)
    }

    @Test func answersToRoleConflictsAreFollowedOnlySoOften() {
        // A peer that answers every check with 487, signed.
        let lab = Lab(seed: 4)
        let agent = lab.add("agent", ["192.0.2.1:1000"], role: .controlling)
        let peer = ScriptedPeer(lab, "peer", ["192.0.2.9:9001"])
        peer.node.script = { datagram, source, _ in
            guard let id = STUNMessage.transactionID(of: datagram) else { return [] }
            let answer = STUNMessage(.error, transactionID: id, attributes: [.errorCode(487, reason: "")])
            return [Transmit(to: source, payload: answer.encoded(key: peer.credentials.key))]
        }
        agent.agent.setRemote(credentials: peer.credentials, isLite: false, now: lab.now)
        agent.agent.addRemoteCandidate(.host(peer.node.addresses[0]), now: lab.now)
        lab.run(for: .seconds(60))
        #expect(agent.checks.count < 30)
        let state = agent.agent.state
        #expect(state == .failed)
    }

    @Test func refusals() throws {
        let (lab, agent, peer) = setUp(role: .controlled)
        lab.run(for: .seconds(1))
        let quiet = [
            peer.check(agent, password: "some other password, long enough"),
            peer.check(agent, username: "nobody:\(peer.credentials.ufrag)"),
            peer.check(agent, username: "\(agent.agent.localCredentials.ufrag):stranger"),
            peer.check(agent, username: agent.agent.localCredentials.ufrag),
        ]
        let strange = peer.check(agent, more: [.other(type: 0x7ff0, value: [1])])
        lab.run(for: .seconds(1))
        for id in quiet { #expect(peer.outcomes[id] == nil) }
        let error = try #require(peer.outcomes[strange])
        #expect(error.errorCode == 420 && error.attributes.contains(.unknownAttributes([0x7ff0])))
    }

    @Test func answersFromElsewhereOrUnsignedAreNoAnswers() throws {
        let lab = Lab(seed: 5)
        let agent = lab.add("agent", ["192.0.2.1:1000"], role: .controlling)
        let peer = ScriptedPeer(lab, "peer", ["192.0.2.9:9001", "192.0.2.9:9002"])
        var asked: [STUNTransactionID] = []
        peer.node.script = { datagram, source, _ in
            guard let id = STUNMessage.transactionID(of: datagram) else { return [] }
            asked.append(id)
            let good = STUNMessage(.success, transactionID: id, attributes: [.xorMappedAddress(source)])
            // From the wrong address, with the wrong key, without any.
            peer.send(good.encoded(key: peer.credentials.key), from: 1, to: agent)
            peer.send(good.encoded(key: STUNIntegrityKey(password: "wrong")), to: agent)
            peer.send(good.encoded(), to: agent)
            peer.send(
                STUNMessage(.error, transactionID: id, attributes: [.errorCode(401, reason: "")]).encoded(), to: agent)
            return []
        }
        agent.agent.setRemote(credentials: peer.credentials, isLite: false, now: lab.now)
        agent.agent.addRemoteCandidate(.host(peer.node.addresses[0]), now: lab.now)
        lab.run(for: .seconds(3))
        #expect(asked.count == 4)
        let state = agent.agent.state
        #expect(state == .checking)
        let owns = try agent.agent.owns(transaction: #require(asked.first))
        #expect(owns)
        #expect(agent.events.allSatisfy { if case .stateChanged = $0.event { true } else { false } })
    }

    @Test func candidatesOfOtherGenerations() throws {
        let lab = Lab(seed: 6)
        let agent = lab.add("agent", ["192.0.2.1:1000"], role: .controlling)
        let peer = lab.add("peer", ["192.0.2.9:9001"], role: .controlled)
        func candidate(_ port: UInt16, _ ufrag: String?) -> Candidate {
            var candidate = Candidate.host(TransportAddress(.v4(0xc000_0209), port: port))
            candidate.usernameFragment = ufrag
            return candidate
        }
        func ports() -> [UInt16] { agent.agent.generations[agent.agent.current].pairs.map(\.path.remote.port) }
        let first = peer.agent.localCredentials
        // Before any description: with and without a name.
        agent.agent.addRemoteCandidate(candidate(1, nil), now: lab.now)
        agent.agent.addRemoteCandidate(candidate(2, first.ufrag), now: lab.now)
        peer.agent.restart(now: lab.now)
        let second = peer.agent.localCredentials
        agent.agent.addRemoteCandidate(candidate(3, second.ufrag), now: lab.now)
        #expect(ports() == [])
        agent.agent.setRemote(credentials: first, isLite: false, now: lab.now)
        #expect(ports() == [1, 2])
        agent.agent.addRemoteCandidate(candidate(4, nil), now: lab.now)
        agent.agent.setRemote(credentials: second, isLite: false, now: lab.now)
        #expect(ports() == [3])
        agent.agent.addRemoteCandidate(candidate(5, first.ufrag), now: lab.now)
        agent.agent.addRemoteCandidate(candidate(6, second.ufrag), now: lab.now)
        #expect(ports() == [3, 6])
        // Described again with the same credentials: nothing begins anew.
        let local = agent.agent.localCredentials
        agent.agent.setRemote(credentials: second, isLite: false, now: lab.now)
        #expect(agent.agent.localCredentials == local)
        #expect(ports() == [3, 6])
    }

    @Test func addressesThatCannotBeReachedMakeNoPairs() {
        let lab = Lab(seed: 7)
        let agent = lab.add("agent", ["192.0.2.1:1000"], role: .controlling)
        let peer = lab.add("peer", ["192.0.2.9:9001"], role: .controlled)
        agent.agent.setRemote(credentials: peer.agent.localCredentials, isLite: false, now: lab.now)
        for address in [
            "0.0.0.0:1", "224.0.0.251:5353", "255.255.255.255:1", "[::]:1", "[ff02::1]:1", "[fe80::1]:1", "1.2.3.4:0",
        ] {
            guard let address = TransportAddress(address) else { continue }
            agent.agent.addRemoteCandidate(.host(address), now: lab.now)
        }
        #expect(agent.agent.generations[0].pairs.isEmpty)
    }
}
