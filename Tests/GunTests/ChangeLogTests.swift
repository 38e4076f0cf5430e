import JSON
import SwarmBase
import Testing

@testable import Gun

/// What a relay knows across its own restarts of what the relays that it was given have still to be told.
@Suite struct ChangeLogTests {
    private func write(_ net: inout Federation, _ numbers: Range<Int>, from client: Int, state: Double = 1) {
        for number in numbers {
            net.send(
                putFrame(
                    "p\(client)-\(number)-\(state)", Soul(stringLiteral: "s\(number)"), "k",
                    .number(FiniteNumber(number)), state), from: client)
        }
    }

    /// Relay 1 dials relay 0, has a client and a log.
    private func pair(configuration: GunRelayConfiguration = .init()) -> Federation {
        var net = Federation(2, seed: 21, configuration: configuration)
        net.restart(1, peers: [0])
        net.connect(1, 0)
        net.client(1, at: 1)
        return net
    }

    @Test func aRestartedRelayOffersOnlyWhatHasChanged() {
        var net = pair()
        write(&net, 0..<600, from: 1)
        #expect(net.disks[0].count == 600 && net.marks[1][0] == 600)
        net.restart(1, peers: [0])
        net.records = 0
        net.connect(1, 0)
        net.advance(.seconds(1))
        #expect(net.records == 0, "all of it was acknowledged before")
        net.cut(1, 0)
        net.client(1, at: 1)
        write(&net, 0..<10, from: 1, state: 2)
        net.restart(1, peers: [0])
        net.records = 0
        net.connect(1, 0)
        net.advance(.seconds(1))
        #expect(net.records == 10 && net.disks[0] == net.disks[1])
        #expect(net.marks[1][0] == 610 && net.relays[1].pendingFederation == 0)
    }

    @Test func whatWasUnderWayIsOfferedAgain() {
        var net = pair()
        write(&net, 0..<5, from: 1)
        // These are on the cable when it breaks and the relay dies.
        for number in 5..<9 {
            net.send(putFrame("q\(number)", Soul(stringLiteral: "s\(number)"), "k", 1, 1), from: 1, isRun: false)
        }
        for cable in net.cables { net.cut(cable.key.from, cable.key.to) }
        net.run()
        #expect(net.disks[0].count == 5 && net.disks[1].count == 9)
        net.restart(1, peers: [0])
        net.records = 0
        net.connect(1, 0)
        #expect(net.disks[0] == net.disks[1] && net.records == 4)
    }

    @Test func whoMissesMoreThanTheLogKeepsIsOfferedEverything() {
        var configuration = GunRelayConfiguration()
        configuration.federation.changes = 20
        var net = pair(configuration: configuration)
        write(&net, 0..<30, from: 1)
        net.cut(1, 0)
        write(&net, 100..<130, from: 1)
        #expect(net.logs[1].count <= 20)
        net.restart(1, peers: [0])
        net.records = 0
        net.connect(1, 0)
        #expect(net.disks[0] == net.disks[1] && net.records == 60)
        // One that it did not know before is offered everything too.
        net.restart(1, peers: [7])
        #expect(net.relays[1].peers[7]?.acknowledged == nil && net.relays[1].peers[7]?.offer != nil)
    }

    /// Too much to be noted while the relay is away, without a restart: the log knows.
    @Test func whatIsTooMuchToBeNotedIsReadFromTheLog() {
        var configuration = GunRelayConfiguration()
        configuration.federation.pendingRecords = 10
        configuration.sliceRecords = 7
        var net = pair(configuration: configuration)
        write(&net, 0..<40, from: 1)
        net.cut(1, 0)
        write(&net, 100..<130, from: 1)
        #expect(net.relays[1].pendingFederation <= 10)
        net.records = 0
        net.connect(1, 0)
        #expect(net.disks[0] == net.disks[1] && (30..<45).contains(net.records))
    }

    @Test func theLogIsLetGoOfWhenAllHaveIt() {
        var net = pair()
        write(&net, 0..<2_500, from: 1)
        #expect(net.logs[1].count <= 1_000 && net.marks[1][0] == 2_500)
    }

    /// A relay that is not heard may be gone with all that is on its way to it.
    @Test func silenceIsConsentOnlyOfWhoIsThere() {
        var net = RelayHarness(links: [1])
        net.open(9, peer: 0)
        _ = net.take(9)
        net.send(putFrame("p", "s", "k", 1, 1), on: 1)
        net.advance(.seconds(120))
        #expect(net.relay.pendingFederation == 1)
        net.close(9)
        net.open(9, peer: 0)
        #expect(net.take(9).flatMap(\.records).map(\.value).contains(1), "it is told again")
        net.advance(.seconds(6))
        net.send("[]", on: 9)
        net.advance(.seconds(5))
        #expect(net.relay.pendingFederation == 0)
    }

    /// Writes, cuts and restarts at random: in the end each has what it was to be told.
    @Test(arguments: 1...40 as ClosedRange<UInt64>) func nothingIsForgotten(seed: UInt64) {
        var configuration = GunRelayConfiguration()
        configuration.federation.pendingRecords = 6
        configuration.federation.changes = seed.isMultiple(of: 3) ? 15 : 1_000
        configuration.sliceRecords = 4
        var net = Federation(3, seed: seed, configuration: configuration)
        // 1 and 2 dial 0, and each other.
        let dialled = [0: [Int](), 1: [0, 2], 2: [0, 1]]
        func connectAll(_ net: inout Federation) {
            for (from, to) in [(1, 0), (2, 0), (1, 2), (2, 1)] where net.cables[.init(from: from, to: to)] == nil {
                net.connect(from, to)
            }
        }
        for relay in 0..<3 { net.restart(relay, peers: dialled[relay] ?? []) }
        for step in 0..<120 {
            let relay = Int.random(in: 0..<3, using: &net.random)
            switch Int.random(in: 0..<12, using: &net.random) {
            case 0: net.restart(relay, peers: dialled[relay] ?? [])
            case 1:
                if let cable = net.cables.keys.sorted(by: { ($0.from, $0.to) < ($1.from, $1.to) })
                    .randomElement(using: &net.random)
                {
                    net.cut(cable.from, cable.to)
                }
            case 2: connectAll(&net)
            default:
                if net.clients[relay] == nil { net.client(relay, at: relay) }
                let soul = Soul(stringLiteral: "s\(Int.random(in: 0..<12, using: &net.random))")
                net.send(
                    putFrame("w\(step)", soul, "k", .number(FiniteNumber(step)), Double(step / 3)), from: relay,
                    isRun: Int.random(in: 0..<3, using: &net.random) > 0)
            }
        }
        net.run()
        connectAll(&net)
        net.advance(.seconds(60))
        // 1 and 2 were given each other and 0; 0 was given nobody, and nobody follows what is written there.
        #expect(net.disks[1] == net.disks[2], "seed \(seed)")
        for record in GunTests.records(on: net.disks[1]) {
            #expect(
                !HAM.supersedes(record.entry, net.disks[0][record.soul]?[record.key]), "seed \(seed): \(record.soul)")
        }
        #expect(net.relays.allSatisfy { $0.pendingFederation == 0 }, "seed \(seed)")
    }
}

@Suite struct HopTests {
    /// Relays in a row, each given the one before; a client at the last.
    private func row(_ count: Int, hops: Int) -> Federation {
        var configuration = GunRelayConfiguration()
        configuration.federation.hops = hops
        var net = Federation(count, seed: 5, configuration: configuration)
        for relay in 1..<count { net.connect(relay, relay - 1) }
        net.client(count - 1, at: count - 1)
        net.client(0, at: 0)
        return net
    }

    @Test func aPutGoesThroughSoManyRelaysAndNoMore() {
        var net = row(6, hops: 3)
        net.send(putFrame("p", "s", "k", 1, 1), from: 5)
        #expect(net.disks.map { $0["s"] != nil } == [false, false, true, true, true, true])
        #expect(net.relays[2].counters.hopRefusals == 1)
    }

    @Test func aQuestionGoesThroughSoManyRelaysAndNoMore() {
        var net = row(6, hops: 5)
        net.send(putFrame("p", "s", "k", "v", 1), from: 0)
        net.send(getFrame("g", "s"), from: 5)
        #expect(net.take(5).contains { $0.records.first?.value == "v" })
        net = row(6, hops: 4)
        net.send(putFrame("p", "s", "k", "v", 1), from: 0)
        net.send(getFrame("g", "s"), from: 5)
        #expect(!net.take(5).contains { !$0.records.isEmpty } && net.relays[1].counters.hopRefusals == 1)
    }

    @Test func clientsSeeNothingOfItAtTheirOwnRelay() {
        var net = RelayHarness(links: [1, 2])
        net.send(getFrame("g", "s"), on: 2)
        _ = (net.take(1), net.take(2))
        net.send(putFrame("p", "s", "k", 1, 1), on: 1)
        #expect(net.take(2).map(\.hops) == [0])
        net.open(9, peer: 0)
        _ = net.take(9)
        net.send(putFrame("p2", "s", "k", 1, 2), on: 1)
        #expect(net.take(9).filter { $0.put != nil }.map(\.hops) == [1])
        // What a configured relay says that counts nothing has come through that one at least.
        net.send(putFrame("p3", "s", "k", 1, 3), on: 9)
        #expect(net.take(2).map(\.hops) == [0, 2])
    }

    /// Relays in a ring that have no room to note what they follow do not ask each other for ever.
    @Test func aFullTableOfSubscriptionsIsNoStorm() {
        var configuration = GunRelayConfiguration()
        configuration.federation.subscriptions = 2
        var net = Federation(3, seed: 6, configuration: configuration)
        for relay in 0..<3 { net.connect(relay, (relay + 1) % 3) }
        net.client(0, at: 0)
        for number in 0..<20 {
            let soul = Soul(stringLiteral: "s\(number)")
            net.send(putFrame("p\(number)", soul, "k", 1, 1), from: 0)
            net.send(getFrame("g\(number)", soul), from: 0)
        }
        #expect(net.relays.map(\.counters.gets).reduce(0, +) < 100)
    }
}
