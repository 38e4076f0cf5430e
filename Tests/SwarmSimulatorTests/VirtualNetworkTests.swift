import SwarmBase
import SwarmSimulator
import Testing

/// The network alone: what links and NATs do to datagrams.
@Suite struct VirtualNetworkTests {
    private typealias Got = (at: Instant, payload: [UInt8], from: TransportAddress)

    /// Everything that arrives at a host until nothing is on its way.
    private func arrivals(at host: VirtualNetwork.HostID, in network: inout VirtualNetwork) -> [Got] {
        var result: [Got] = []
        while let now = network.nextArrival {
            while let arrival = network.receive(now: now) {
                if case .datagram(let bytes, let from, _, host) = arrival { result.append((now, bytes, from)) }
            }
        }
        return result
    }

    private func pair(_ conditions: LinkConditions, seed: UInt64 = 1) -> (
        VirtualNetwork, a: VirtualNetwork.HostID, b: VirtualNetwork.HostID, to: TransportAddress
    ) {
        var network = VirtualNetwork(seed: seed)
        let a = network.addHost()
        let b = network.addHost()
        network.setUplink(of: a, conditions)
        let address = TransportAddress(network.addresses(of: b)[0], port: 7)
        return (network, a, b, address)
    }

    @Test func aCleanLinkIsExact() {
        var (network, a, b, address) = pair(.delay(.milliseconds(30)))
        for number in UInt8(0)..<100 { network.send([number], from: a, port: 5, to: address, now: .zero) }
        let got = arrivals(at: b, in: &network)
        #expect(got.map(\.payload) == (0..<100).map { [$0] })
        #expect(got.allSatisfy { $0.at == .zero + .milliseconds(30) && $0.from.port == 5 })
    }

    @Test func whatIsTooLongIsLostOnlyWhenItMustStayWhole() {
        var conditions = LinkConditions()
        conditions.maximumTransmissionUnit = 1500
        var (network, a, b, address) = pair(conditions)
        for (length, forbids) in [(1472, true), (1473, true), (1473, false), (9000, false)] {
            network.send(
                [UInt8](repeating: 1, count: length), from: a, port: 5, to: address, forbidsFragmentation: forbids,
                now: .zero)
        }
        #expect(arrivals(at: b, in: &network).map(\.payload.count) == [1472, 1473, 9000])
    }

    @Test func sharesAreAsStated() {
        var conditions = LinkConditions.delay(.milliseconds(10))
        conditions.loss = 0.2
        conditions.duplication = 0.1
        conditions.corruption = 0.05
        var (network, a, b, address) = pair(conditions)
        for _ in 0..<10_000 { network.send([1, 2, 3, 4], from: a, port: 5, to: address, now: .zero) }
        let got = arrivals(at: b, in: &network)
        // 10,000 · 0.8 · 1.1, of which 5 % are changed.
        #expect((8600...9000).contains(got.count), "\(got.count)")
        let changed = got.count { $0.payload != [1, 2, 3, 4] }
        #expect((350...540).contains(changed), "\(changed)")
        #expect(got.allSatisfy { $0.payload.count == 4 })
    }

    @Test func jitterKeepsTheOrderAndReorderingDoesNot() {
        var conditions = LinkConditions.delay(.milliseconds(10))
        conditions.jitter = .milliseconds(40)
        for reordering in [0.0, 0.1] {
            conditions.reordering = reordering
            var (network, a, b, address) = pair(conditions)
            for number in UInt8(0)..<200 {
                network.send([number], from: a, port: 5, to: address, now: .zero + .milliseconds(Int(number)))
            }
            let numbers = arrivals(at: b, in: &network).map { $0.payload[0] }
            #expect(numbers.count == 200)
            #expect((numbers == numbers.sorted()) == (reordering == 0))
        }
    }

    @Test func aRateHasAQueueThatOverflows() {
        var conditions = LinkConditions()
        conditions.bitsPerSecond = 1_000_000
        conditions.queue = .milliseconds(100)
        var (network, a, b, address) = pair(conditions)
        // 1000 bytes with headers take 8 ms each: 13 find room, then the next ones after it has emptied.
        for _ in 0..<50 { network.send([UInt8](repeating: 0, count: 972), from: a, port: 5, to: address, now: .zero) }
        let got = arrivals(at: b, in: &network)
        #expect(got.count == 13)
        #expect(got.last?.at == .zero + .milliseconds(104))
        network.send([1], from: a, port: 5, to: address, now: .zero + .seconds(1))
        #expect(arrivals(at: b, in: &network).first?.at == .zero + .seconds(1) + .microseconds(232))
    }

    @Test func cutsAndMovesLoseWhatIsOnItsWay() {
        var (network, a, b, address) = pair(.delay(.milliseconds(10)))
        network.send([1], from: a, port: 5, to: address, now: .zero)
        network.cut(a, b)
        #expect(arrivals(at: b, in: &network).isEmpty)
        network.heal(a, b)
        network.send([2], from: a, port: 5, to: address, now: .zero)
        network.move(b, behind: nil)
        #expect(arrivals(at: b, in: &network).isEmpty)
        let new = TransportAddress(network.addresses(of: b)[0], port: 7)
        #expect(new != address)
        network.send([3], from: a, port: 5, to: new, now: .zero)
        #expect(arrivals(at: b, in: &network).map(\.payload) == [[3]])
    }

    /// RFC 4787's words, kind by kind: what comes in after one datagram went out to `known`.
    @Test(arguments: NATKind.allCases.filter { $0 != .none }) func mappingAndFiltering(_ kind: NATKind) {
        var network = VirtualNetwork(seed: 3)
        let nat = network.addNAT(kind)
        let inside = network.addHost(behind: nat)
        let known = network.addHost()
        let stranger = network.addHost()
        let to = { (host: VirtualNetwork.HostID, port: UInt16) in
            TransportAddress(network.addresses(of: host)[0], port: port)
        }
        let (knownAddress, strangerAddress) = (to(known, 1), to(stranger, 1))
        network.send([0], from: inside, port: 9, to: knownAddress, now: .zero)
        guard let first = arrivals(at: known, in: &network).first else {
            #expect(kind == .udpBlocked)
            return
        }
        #expect(kind != .udpBlocked)
        #expect((first.from.port == 9) == (kind == .firewall))
        func passes(from host: VirtualNetwork.HostID, port: UInt16, at now: Instant = .zero) -> Bool {
            network.send([1], from: host, port: port, to: first.from, now: now)
            return !arrivals(at: inside, in: &network).isEmpty
        }
        #expect(passes(from: known, port: 1))
        #expect(passes(from: known, port: 2) == [.fullCone, .addressRestricted].contains(kind))
        #expect(passes(from: stranger, port: 1) == (kind == .fullCone))
        // The mapping for another destination.
        network.send([0], from: inside, port: 9, to: strangerAddress, now: .zero)
        let second = arrivals(at: stranger, in: &network).first?.from
        #expect((second == first.from) == (kind != .symmetric))
        // And forgotten after two minutes, or a reboot.
        #expect(passes(from: known, port: 1, at: .zero + .seconds(119)))
        #expect(!passes(from: known, port: 1, at: .zero + .seconds(121)))
        network.send([0], from: inside, port: 9, to: knownAddress, now: .zero + .seconds(130))
        let third = arrivals(at: known, in: &network).first?.from
        #expect(third != nil)
        network.reboot(nat)
        if let third {
            network.send([1], from: known, port: 1, to: third, now: .zero + .seconds(131))
            #expect(arrivals(at: inside, in: &network).isEmpty)
        }
    }

    @Test func behindOneNAT() {
        for isHairpinning in [false, true] {
            var network = VirtualNetwork(seed: 4)
            let nat = network.addNAT(.fullCone, isHairpinning: isHairpinning)
            let a = network.addHost(behind: nat)
            let b = network.addHost(behind: nat)
            let server = network.addHost()
            let serverAddress = TransportAddress(network.addresses(of: server)[0], port: 1)
            network.send([0], from: b, port: 9, to: serverAddress, now: .zero)
            let outside = arrivals(at: server, in: &network)[0].from
            #expect(outside.address == network.outsideAddress(of: nat))
            // By its inside address always, by its outside address where the NAT does that.
            let inside = TransportAddress(network.addresses(of: b)[0], port: 9)
            network.send([1], from: a, port: 8, to: inside, now: .zero)
            #expect(arrivals(at: b, in: &network).first?.from == TransportAddress(network.addresses(of: a)[0], port: 8))
            network.send([1], from: a, port: 8, to: outside, now: .zero)
            let hairpinned = arrivals(at: b, in: &network).first?.from
            #expect(hairpinned?.address == (isHairpinning ? outside.address : nil))
        }
    }

    @Test func ipv6PassesUntranslatedButOnlyWhenAskedFor() {
        var network = VirtualNetwork(seed: 5)
        let nat = network.addNAT(.symmetric)
        let a = network.addHost(behind: nat, hasIPv6: true)
        let b = network.addHost(hasIPv6: true)
        let (first, second) = (network.addresses(of: a)[1], network.addresses(of: b)[1])
        network.send([1], from: b, port: 2, to: TransportAddress(first, port: 1), now: .zero)
        #expect(arrivals(at: a, in: &network).isEmpty)
        network.send([1], from: a, port: 1, to: TransportAddress(second, port: 2), now: .zero)
        #expect(arrivals(at: b, in: &network).first?.from == TransportAddress(first, port: 1))
        network.send([1], from: b, port: 2, to: TransportAddress(first, port: 1), now: .zero)
        #expect(arrivals(at: a, in: &network).count == 1)
    }

    @Test func streamsPassEverywhereInOrder() {
        var network = VirtualNetwork(seed: 6)
        let nat = network.addNAT(.udpBlocked)
        var bad = LinkConditions.delay(.milliseconds(20))
        bad.loss = 0.9
        let a = network.addHost(behind: nat, link: bad)
        let b = network.addHost()
        let stream = network.openStream(from: a, to: b, now: .zero)
        for number in UInt8(0)..<10 { network.send([number], on: stream, from: a, now: .zero + .seconds(1)) }
        var bytes: [UInt8] = []
        var openings = 0
        while let now = network.nextArrival {
            while let arrival = network.receive(now: now) {
                switch arrival {
                case .streamOpened(stream, _): openings += 1
                case .stream(stream, let more, b): bytes += more
                default: Issue.record("\(arrival)")
                }
            }
        }
        #expect(openings == 2 && bytes == Array(0..<10))
    }

    @Test func theSameSeedGivesTheSameRun() {
        var conditions = LinkConditions.delay(.milliseconds(10))
        conditions.loss = 0.3
        conditions.jitter = .milliseconds(30)
        conditions.reordering = 0.2
        conditions.duplication = 0.2
        conditions.corruption = 0.2
        func run(_ seed: UInt64) -> [String] {
            var (network, a, b, address) = pair(conditions, seed: seed)
            for number in UInt8(0)..<200 { network.send([number, 0], from: a, port: 5, to: address, now: .zero) }
            return arrivals(at: b, in: &network).map { "\($0)" }
        }
        #expect(run(7) == run(7))
        #expect(run(7) != run(8))
    }
}
