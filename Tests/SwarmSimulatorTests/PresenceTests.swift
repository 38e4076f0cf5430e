import CVirtualClock
import SwarmBase
import SwarmEngine
import SwarmSimulator
import Synchronization
import Testing

/// Who is here, away, and gone: noticed soon, and not believed too soon.
@Suite struct PresenceTests {
    /// What a run said.
    private final class Lines: Sendable {
        private let all = Mutex<[String]>([])
        func note(_ line: String) { all.withLock { $0.append(line) } }
        func containing(_ text: String) -> [String] { all.withLock { $0.filter { $0.contains(text) } } }
    }

    /// Three members who are all connected directly.
    private func meeting(seed: UInt64, lines: Lines, hasRelayOnly: Bool = false) throws -> SimulatedSwarm {
        let swarm = SimulatedSwarm(seed: seed, trace: BehaviourTrace { lines.note($0) }) { swarm_virtual_clock_set($0) }
        _ = swarm.addServer(.relay)
        for _ in 0..<3 {
            try swarm.addMember(behind: .portRestricted, link: .delay(.milliseconds(12))) {
                if hasRelayOnly { $0.paths = [.relay] }
            }
        }
        let met = swarm.run(within: .seconds(20)) {
            swarm.members.allSatisfy { member in
                swarm.members.allSatisfy {
                    $0 === member || member.paths[$0.index] == (hasRelayOnly ? .relay : .direct)
                }
            }
        }
        #expect(met != nil, "seed \(seed)")
        swarm.run(for: .seconds(20))
        return swarm
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>) func oneThatCrashesIsNoticedWithinFiveSeconds(seed: UInt64) throws {
        defer { swarm_virtual_clock_set(-1) }
        let lines = Lines()
        let swarm = try meeting(seed: seed, lines: lines)
        var random = SeededGenerator(seed: seed)
        swarm.run(for: .milliseconds(Int.random(in: 0..<5_000, using: &random)))
        swarm.crash(swarm.members[2], storage: .kept)
        let noticed = swarm.run(within: .seconds(10)) {
            swarm.members[0].paths[2] == nil && swarm.members[1].paths[2] == nil
        }
        #expect(try #require(noticed) <= .seconds(5), "seed \(seed)")
        #expect(lines.containing("hears nothing of 2").count == 2)
        #expect(lines.containing("has lost 2").isEmpty, "away is not left")
        swarm.act(swarm.members[0]) { engine in
            #expect(Set(engine.roster.map(\.name)) == ["m1", "m2"])
            #expect(engine.roster.filter(\.isAway).map(\.name) == ["m2"])
            let paths = engine.roster.first { !$0.isAway }?.paths ?? []
            #expect(paths.first?.path == .direct && paths.first?.isInUse == true)
            #expect(paths.contains { $0.path == .relay })
            // There and back over both accesses, 12 ms each.
            #expect(paths.first?.roundTrip.map { $0 >= .milliseconds(48) && $0 < .milliseconds(60) } == true)
        }
        swarm.run(for: .seconds(60))
        #expect(lines.containing("has lost 2").count == 2)
        swarm.act(swarm.members[0]) { engine in #expect(engine.roster.map(\.name) == ["m1"]) }
        #expect(lines.containing("hears nothing of 0").isEmpty && lines.containing("hears nothing of 1").isEmpty)
    }

    @Test(arguments: 1...3 as ClosedRange<UInt64>) func oneThatIsRelayedIsNoticedWithinAMinute(seed: UInt64) throws {
        defer { swarm_virtual_clock_set(-1) }
        let swarm = try meeting(seed: seed, lines: Lines(), hasRelayOnly: true)
        swarm.crash(swarm.members[2], storage: .kept)
        let noticed = swarm.run(within: .seconds(60)) {
            swarm.members[0].paths[2] == nil && swarm.members[1].paths[2] == nil
        }
        #expect(noticed != nil, "seed \(seed)")
    }

    @Test(arguments: 1...2 as ClosedRange<UInt64>) func lossIsNoAbsence(seed: UInt64) throws {
        defer { swarm_virtual_clock_set(-1) }
        let lines = Lines()
        let swarm = try meeting(seed: seed, lines: lines)
        var bad = LinkConditions.delay(.milliseconds(12))
        // 30 % of what goes from one to another: half of it on each access.
        bad.loss = 0.163
        for member in swarm.members { swarm.setLink(of: member, bad) }
        swarm.run(for: .seconds(150))
        #expect(lines.containing("hears nothing of").isEmpty, "seed \(seed)")
    }

    @Test(arguments: 1...2 as ClosedRange<UInt64>) func aCutOfFourSecondsIsNoAbsence(seed: UInt64) throws {
        defer { swarm_virtual_clock_set(-1) }
        let lines = Lines()
        let swarm = try meeting(seed: seed, lines: lines)
        let (a, b) = (swarm.members[0], swarm.members[1])
        for _ in 0..<5 {
            swarm.cut(from: a, to: b)
            swarm.cut(from: b, to: a)
            swarm.send(from: a, to: b, size: 20)
            swarm.run(for: .seconds(4))
            swarm.heal(from: a, to: b)
            swarm.heal(from: b, to: a)
            swarm.run(for: .seconds(20))
        }
        #expect(lines.containing("hears nothing of").isEmpty, "seed \(seed)")
        #expect(swarm.ledger.outstanding == 0 && swarm.ledger.problems.isEmpty)
    }

    /// The direct path loses every tenth second: messages may not go to and fro with it.
    @Test func aPathThatComesAndGoesIsLeftAlone() throws {
        defer { swarm_virtual_clock_set(-1) }
        let lines = Lines()
        let swarm = try meeting(seed: 7, lines: lines)
        let (a, b) = (swarm.members[0], swarm.members[1])
        let before = lines.containing("0 reaches 1 by").count
        for _ in 0..<30 {
            for tick in 0..<40 {
                swarm.at(swarm.now + .milliseconds(50 * tick)) { swarm.send(from: a, to: b, size: 20) }
            }
            swarm.cut(from: a, to: b)
            swarm.cut(from: b, to: a)
            swarm.run(for: .seconds(1))
            swarm.heal(from: a, to: b)
            swarm.heal(from: b, to: a)
            swarm.run(for: .seconds(1))
        }
        swarm.run(for: .seconds(30))
        // In a minute of thirty cuts: each return is waited for longer, up to 16 s.
        #expect(lines.containing("0 reaches 1 by").count - before <= 16)
        #expect(swarm.ledger.outstanding == 0 && swarm.ledger.problems.isEmpty)
        #expect(a.paths[1] == .direct && b.paths[0] == .direct)
    }
}
