import SwarmBase
import Testing

@testable import ICE

/// Whatever a peer does, an agent neither traps nor grows.
@Suite struct BoundsTests {
    private func expectBounded(_ node: Node, _ configuration: ICEConfiguration, _ context: Comment) {
        for generation in node.agent.generations {
            #expect(generation.pairs.count <= configuration.maximumPairs, context)
            #expect(generation.triggered.count <= configuration.maximumPairs, context)
            #expect(generation.earlyChecks.count <= configuration.maximumEarlyChecks, context)
        }
        #expect(node.agent.generations.count <= 2, context)
        #expect(node.agent.transactions.count <= configuration.maximumTransactions, context)
        #expect(node.agent.pendingCandidates.count <= configuration.maximumPendingCandidates, context)
        #expect(node.agent.localCandidates.count <= configuration.maximumLocalCandidates, context)
        #expect(node.agent.validated.count <= configuration.maximumPairs, context)
        #expect(node.agent.retired.count <= 4 && node.agent.staleRemoteUfrags.count <= 8, context)
    }

    @Test func floods() {
        let lab = Lab(seed: 1)
        let configuration = ICEConfiguration()
        let a = lab.add("a", ["192.0.2.1:1000"], role: .controlling)
        let b = lab.add("b", ["192.0.2.2:2000"], role: .controlled)
        func flood() {
            for number in UInt32(0)..<500 {
                let address = TransportAddress(.v4(0x0b00_0000 + number), port: 1)
                a.agent.addRemoteCandidate(.host(address), now: lab.now)
                a.agent.addLocalCandidate(.host(address))
                let check = STUNMessage(
                    .request, transactionID: .random(using: &lab.random),
                    attributes: [
                        .username(Array("\(a.agent.localCredentials.ufrag):\(b.agent.localCredentials.ufrag)".utf8)),
                        .priority(number), .iceControlled(number == 7 ? .max : 0),
                    ])
                a.agent.handle(
                    stun: check.encoded(key: a.agent.localCredentials.key),
                    from: TransportAddress(.v4(0x0c00_0000 + number), port: 1), now: lab.now)
                while a.agent.pollTransmit() != nil {}
            }
            lab.drain()
        }
        flood()
        expectBounded(a, configuration, "before the description")
        a.agent.setRemote(credentials: b.agent.localCredentials, isLite: false, now: lab.now)
        flood()
        expectBounded(a, configuration, "after it")
        #expect(a.agent.generations[0].pairs.count == configuration.maximumPairs)
        lab.run(for: .seconds(20))
        expectBounded(a, configuration, "after checking")
        // Failed pairs make room for one that works.
        lab.gather(b)
        lab.describe(a, to: b)
        b.agent.addRemoteCandidate(.host(a.addresses[0]), now: lab.now)
        #expect(lab.run(for: .seconds(20)) { lab.areConnected(a, b) })
        // 500 addresses that answer nothing while the path is down.
        lab.isCut = { _, _ in true }
        lab.run(for: .seconds(28))
        expectBounded(a, configuration, "while disconnected")
        lab.isCut = { _, _ in false }
        lab.run(for: .seconds(1))
        #expect(lab.areConnected(a, b))
    }

    /// Two agents with everything that can happen to them happening at random.
    @Test(arguments: 0..<12) func chaos(seed: UInt64) {
        let configuration = ICEConfiguration()
        let lab = Lab(seed: seed)
        lab.jitter = .milliseconds(30)
        let kinds = NATKind.allCases
        let a = lab.add(
            "a", ["10.0.0.1:1000"], role: .controlling, nat: kinds[Int.random(in: 0..<3, using: &lab.random)])
        let b = lab.add("b", ["192.0.2.2:2000", "[2001:db8::2]:2000"], role: .controlled)
        lab.gather(a)
        lab.gather(b)
        lab.describe(a, to: b)
        lab.describe(b, to: a)
        let context = Comment(rawValue: "seed \(seed)")
        var recorded: [[UInt8]] = []
        for _ in 0..<150 {
            let (x, y) = Bool.random(using: &lab.random) ? (a, b) : (b, a)
            switch Int.random(in: 0..<14, using: &lab.random) {
            case 0:
                x.agent.restart(now: lab.now)
                lab.describe(x, to: y)
                lab.run(for: .milliseconds(Int.random(in: 0...300, using: &lab.random)))
                lab.describe(y, to: x)
            case 1: lab.loss = Double.random(in: 0...0.5, using: &lab.random)
            case 2: lab.isCut = { node, _ in node === x }
            case 3: lab.isCut = { _, _ in true }
            case 4, 5, 6: lab.isCut = { _, _ in false }
            case 7: x.nat?.reboot()
            case 8: lab.trickle(x, to: y)
            case 9: x.agent.endOfRemoteCandidates(now: lab.now)
            case 10, 11:
                // A recorded datagram, changed or not, from anywhere.
                recorded += x.sent.suffix(3).map(\.1.payload)
                guard var datagram = recorded.randomElement(using: &lab.random) else { break }
                if Bool.random(using: &lab.random), let index = datagram.indices.randomElement(using: &lab.random) {
                    datagram[index] = UInt8.random(in: 0...255, using: &lab.random)
                }
                let source = Bool.random(using: &lab.random) ? x.addresses[0] : y.addresses[0]
                y.agent.handle(stun: datagram, from: source, now: lab.now)
            default:
                lab.sendData(x)
                lab.sendData(y)
            }
            lab.run(for: .milliseconds(Int.random(in: 0...2000, using: &lab.random)))
            expectBounded(a, configuration, context)
            expectBounded(b, configuration, context)
        }
        // When all is well again and both describe themselves anew, they meet.
        lab.loss = 0
        lab.isCut = { _, _ in false }
        a.agent.restart(now: lab.now)
        lab.describe(a, to: b)
        lab.describe(b, to: a)
        #expect(lab.run(for: .seconds(5)) { lab.areConnected(a, b) }, context)
        lab.run(for: .seconds(120))
        #expect(lab.areConnected(a, b), context)
        #expect(Set([a.agent.role, b.agent.role]).count == 2, context)
    }

    /// Authentic messages with one field changed and signed again: what a hostile peer, not a stranger, can send.
    @Test(arguments: 0..<6) func signedNonsense(seed: UInt64) {
        let (lab, a, b) = Lab.pair(seed: seed)
        lab.run(for: .seconds(1))
        let key = a.agent.localCredentials.key
        for _ in 0..<400 {
            var attributes: [STUNAttribute] = [
                .username(Array("\(a.agent.localCredentials.ufrag):\(b.agent.localCredentials.ufrag)".utf8))
            ]
            for _ in 0..<Int.random(in: 0...6, using: &lab.random) {
                attributes.append(
                    [
                        .priority(.random(in: 0 ... .max, using: &lab.random)), .useCandidate, .iceControlling(.max),
                        .iceControlled(0), .errorCode(487, reason: ""), .xorMappedAddress(b.addresses[0]),
                        .other(type: .random(in: 0x30 ... .max, using: &lab.random), value: [1]),
                    ].randomElement(using: &lab.random) ?? .useCandidate)
            }
            let kinds = [STUNClass.request, .indication, .success, .error]
            let id = a.agent.transactions.keys.first ?? .random(using: &lab.random)
            let message = STUNMessage(
                kinds.randomElement(using: &lab.random) ?? .request, transactionID: id, attributes: attributes)
            let port = UInt16.random(in: 1...3000, using: &lab.random)
            a.agent.handle(
                stun: message.encoded(key: Bool.random(using: &lab.random) ? key : b.agent.localCredentials.key),
                from: TransportAddress(b.addresses[0].address, port: port), now: lab.now)
            lab.run(for: .milliseconds(Int.random(in: 0...200, using: &lab.random)))
            expectBounded(a, .init(), "seed \(seed)")
        }
        // Forged role conflicts may have cost the session; a restart brings it back.
        a.agent.restart(now: lab.now)
        lab.describe(a, to: b)
        lab.describe(b, to: a)
        #expect(lab.run(for: .seconds(30)) { lab.areConnected(a, b) }, "seed \(seed)")
    }
}
