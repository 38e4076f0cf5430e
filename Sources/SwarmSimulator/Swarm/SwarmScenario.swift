import SwarmBase
import SwarmEngine

/// One random run of a whole swarm, made by a seed: a cast, traffic, faults; then everything is mended, and held against
/// the promises.
public struct SwarmScenario {
    /// How large it is.
    public struct Size: Sendable {
        public var members: ClosedRange<Int>
        /// How long things go wrong.
        public var faults: ClosedRange<Duration>
        /// All that is sent are messages in order, of normal priority and without deadlines: all that goes with members who know no lanes.
        public var isPlain = false

        public init(members: ClosedRange<Int>, faults: ClosedRange<Duration>) {
            self.members = members
            self.faults = faults
        }

        /// What many seeds can be run of.
        public static let small = Size(members: 2...6, faults: .seconds(20) ... .seconds(90))
        /// Twenty members for ten minutes.
        public static let large = Size(members: 20...20, faults: .seconds(570) ... .seconds(570))
    }

    /// What came of it.
    public struct Outcome: Sendable {
        public let seed: UInt64
        /// The cast, in a few words.
        public let summary: String
        /// What was not as it should be; empty when all was well.
        public let problems: [String]
        public let traceHash: UInt64
        /// How many messages were sent, and how often one was handed on.
        public let sent: Int
        public let handedOn: Int
        /// How many messages have expired; how many requests and byte streams came to a good end, and how many ended with a run.
        public let expired: Int
        public let exchanges: Int
        public let interrupted: Int
        /// From the last fault until every message had arrived and everybody was in touch; `nil` when that did not come in time.
        public let healed: Duration?
        /// From the last fault until all who can meet did so directly.
        public let direct: Duration?
        public let virtualTime: Duration
        public let datagrams: Int
        public let steps: Int
    }

    /// How long it may take until all is well again after the last fault.
    public static let healing = Duration.seconds(30)
    /// How long it may take until those are connected directly again who can be.
    public static let rejoining = Duration.seconds(90)

    private let seed: UInt64
    private let swarm: SimulatedSwarm
    private var random: SeededGenerator
    /// What the traffic is, apart from what befalls it.
    private var traffic: SeededGenerator
    private let length: Duration
    private let isPlain: Bool
    private let usual: [LinkConditions]
    private let words: String
    private var end: Instant

    /// - Parameters:
    ///   - setClock: see ``SimulatedSwarm/init(seed:wallAtZero:trace:setClock:)``.
    public init(
        seed: UInt64, size: Size = .small, trace: BehaviourTrace = BehaviourTrace(), setClock: @escaping (Int64) -> Void
    ) throws {
        self.seed = seed
        random = SeededGenerator(seed: seed &* 0x9e37_79b9_7f4a_7c15)
        traffic = SeededGenerator(seed: ~seed &* 0x9e37_79b9_7f4a_7c15)
        swarm = SimulatedSwarm(seed: random.next(), trace: trace, setClock: setClock)
        isPlain = size.isPlain
        let count = Int.random(in: size.members, using: &random)
        length = .milliseconds(
            Int64.random(
                in: Int64(size.faults.lowerBound.milliseconds)...Int64(size.faults.upperBound.milliseconds),
                using: &random))
        end = swarm.now + length
        let relays = [1, 1, 1, 2].randomElement(using: &random) ?? 1
        let trackers = [0, 1, 1].randomElement(using: &random) ?? 1
        for _ in 0..<relays { _ = swarm.addServer(.relay) }
        for _ in 0..<trackers { _ = swarm.addServer(.tracker) }
        let isLossy = Int.random(in: 0..<4, using: &random) == 0
        let farthest = [10, 40, 100].randomElement(using: &random) ?? 40
        var usual: [LinkConditions] = []
        var kinds: [NATKind] = []
        for _ in 0..<count {
            var link = LinkConditions.delay(.milliseconds(Int.random(in: 1...farthest, using: &random)))
            link.jitter = .milliseconds(Int.random(in: 0...10, using: &random))
            if isLossy { link.loss = Double.random(in: 0...0.05, using: &random) }
            if isLossy { link.reordering = Double.random(in: 0...0.05, using: &random) }
            if isLossy { link.duplication = Double.random(in: 0...0.05, using: &random) }
            usual.append(link)
            kinds.append(Self.kind(using: &random))
        }
        self.usual = usual
        words =
            "\(count) members (\(kinds.map(\.rawValue).joined(separator: ", "))), \(relays) relays, \(trackers) trackers"
        for (link, kind) in zip(usual, kinds) {
            let skew = Double.random(in: -50_000...50_000, using: &random)
            let hasTURN = Int.random(in: 0..<4, using: &random) == 0
            let isDurable = Int.random(in: 0..<4, using: &random) != 0
            let member = try swarm.addMember(behind: kind, link: link, hasTURN: hasTURN) {
                $0.isDurable = isDurable
            }
            swarm.setClock(of: member, skew: skew)
        }
    }

    private static func kind(using random: inout SeededGenerator) -> NATKind {
        // Home routers mostly.
        let kinds: [NATKind] = [
            .portRestricted, .portRestricted, .none, .firewall, .fullCone, .addressRestricted, .symmetric, .udpBlocked,
        ]
        return kinds.randomElement(using: &random) ?? .none
    }

    /// Runs it all.
    public mutating func run() -> Outcome {
        let begin = swarm.now
        schedule()
        swarm.run(for: length)
        mend()
        let lastFault = swarm.now
        for member in swarm.members {
            for other in swarm.members where other !== member {
                swarm.send(from: member, to: other, size: 20)
            }
        }
        let healed = swarm.run(within: Self.healing) { [swarm] in Self.isWell(swarm) }
        var problems: [String] = []
        if healed == nil {
            problems += swarm.ledger.missing.map { "\($0) \(Self.healing) after the last fault" }
            problems += swarm.exchanges.missing
            problems += Self.outOfTouch(swarm)
        }
        // Nothing is another than it was as long as no path is.
        var (changes, isDirect) = (-1, false)
        let direct = swarm.run(within: Self.rejoining - (swarm.now - lastFault)) { [swarm] in
            if swarm.pathChanges != changes { isDirect = Self.missingDirect(swarm).isEmpty }
            changes = swarm.pathChanges
            return isDirect
        }
        if direct == nil { problems += Self.missingDirect(swarm) }
        // Nothing may happen of itself that spoils what is well.
        swarm.run(for: .seconds(5))
        problems = swarm.ledger.problems + problems + swarm.exchanges.problems + swarm.secrecy.problems
        // By now nothing is under way any more, not even that something has come.
        if healed != nil { problems += swarm.members.flatMap(swarm.overload(of:)) }
        return Outcome(
            seed: seed, summary: words, problems: problems, traceHash: swarm.trace.hash, sent: swarm.ledger.sent,
            handedOn: swarm.ledger.handedOn, expired: swarm.ledger.expired, exchanges: swarm.exchanges.completed,
            interrupted: swarm.exchanges.interrupted, healed: healed,
            direct: direct.map { _ in (healed ?? Self.healing) + (direct ?? .zero) },
            virtualTime: swarm.now - begin, datagrams: swarm.network.sentDatagrams, steps: swarm.steps)
    }

    // MARK: What happens

    private mutating func schedule() {
        var at = swarm.now
        while at < end {
            let (from, to) = (member(), member())
            let size = Int.random(in: 0..<20, using: &random) == 0 ? Int.random(in: 5_000...40_000, using: &random) : 30
            let say = something(size: size)
            swarm.at(at) { if from !== to { say(from, to) } }
            at += .milliseconds(Int.random(in: 1...(4_000 / swarm.members.count), using: &random))
        }
        at = swarm.now + .seconds(1)
        while at < end {
            scheduleFault(at: at)
            at += .milliseconds(Int.random(in: 1_000...8_000, using: &random))
        }
    }

    /// One message, request or byte stream: half of them are messages in order, of normal priority.
    private mutating func something(size: Int) -> (SimulatedMember, SimulatedMember) -> Void {
        let kind = isPlain ? 0 : Int.random(in: 0..<20, using: &traffic)
        let priority = MessagePriority.allCases.randomElement(using: &traffic) ?? .normal
        let isOrdered = Bool.random(using: &traffic)
        let time = Duration.milliseconds(Int.random(in: 50...20_000, using: &traffic))
        let hasTime = Int.random(in: 0..<3, using: &traffic) == 0
        let length = Int.random(in: 1...150_000, using: &traffic)
        return { [swarm] from, to in
            switch kind {
            case 0..<10: swarm.send(from: from, to: to, size: size)
            case 10..<17:
                swarm.send(
                    from: from, to: to, size: size, priority: priority, isOrdered: isOrdered,
                    lifetime: hasTime ? time : nil)
            case 17..<19: swarm.request(from: from, of: to, size: size, limit: hasTime ? time : nil)
            default: swarm.openStream(from: from, to: to, size: length, priority: priority)
            }
        }
    }

    private mutating func member() -> SimulatedMember {
        swarm.members[Int.random(in: 0..<swarm.members.count, using: &random)]
    }

    /// Mends everything that is broken.
    private func mend() {
        swarm.healAll()
        for server in swarm.servers { swarm.restart(server) }
        for (member, link) in zip(swarm.members, usual) {
            swarm.setLink(of: member, link)
            swarm.setDiskDelay(of: member, .milliseconds(1))
            swarm.setPaused(member, false)
            swarm.restart(member)
        }
    }

    private mutating func scheduleFault(at: Instant) {
        let (a, b) = (member(), member())
        let index = a.index
        let (swarm, usual) = (swarm, usual)
        let over = at + .milliseconds(Int.random(in: 200...20_000, using: &random))
        func during(_ begin: @escaping () -> Void, _ finish: @escaping () -> Void) {
            swarm.at(at, begin)
            if over < end { swarm.at(over, finish) }
        }
        switch Int.random(in: 0..<16, using: &random) {
        case 0, 1:
            guard a !== b else { return }
            during {
                swarm.cut(from: a, to: b)
                swarm.cut(from: b, to: a)
            } _: {
                swarm.heal(from: a, to: b)
                swarm.heal(from: b, to: a)
            }
        case 2:
            guard a !== b else { return }
            during {
                swarm.cut(from: a, to: b)
            } _: {
                swarm.heal(from: a, to: b)
            }
        case 3:
            during {
                swarm.move(members: [a], toIsland: index + 10)
            } _: {
                swarm.move(members: [a], toIsland: 0)
            }
        case 4:
            let group = swarm.members.filter { _ in Bool.random(using: &random) }
            let servers = swarm.servers.filter { _ in Bool.random(using: &random) }
            during {
                swarm.move(members: group, servers: servers, toIsland: 1)
            } _: {
                swarm.move(members: group, servers: servers, toIsland: 0)
            }
        case 5, 6:
            guard let server = swarm.servers.randomElement(using: &random) else { return }
            let losesStore = Bool.random(using: &random)
            during {
                swarm.crash(server, losesStore: losesStore)
            } _: {
                swarm.restart(server)
            }
        case 7, 8, 9:
            let storage = SimulatedMember.Storage.allCases.randomElement(using: &random) ?? .kept
            during {
                swarm.crash(a, storage: storage)
            } _: {
                swarm.restart(a)
            }
        case 10:
            let kind = Self.kind(using: &random)
            swarm.at(at) { swarm.roam(a, to: kind) }
        case 11:
            let keepsAddress = Bool.random(using: &random)
            swarm.at(at) { swarm.rebootNAT(of: a, keepsAddress: keepsAddress) }
        case 12:
            var bad = usual[index]
            bad.loss = Double.random(in: 0.05...0.4, using: &random)
            bad.reordering = Double.random(in: 0...0.2, using: &random)
            bad.duplication = Double.random(in: 0...0.2, using: &random)
            during {
                swarm.setLink(of: a, bad)
            } _: {
                swarm.setLink(of: a, usual[index])
            }
        case 13:
            let delay = Duration.milliseconds(Int.random(in: 5...3_000, using: &random))
            during {
                swarm.setDiskDelay(of: a, delay)
            } _: {
                swarm.setDiskDelay(of: a, .milliseconds(1))
            }
        case 14:
            during {
                swarm.setPaused(a, true)
            } _: {
                swarm.setPaused(a, false)
            }
        default:
            let skew = Double.random(in: -50_000...50_000, using: &random)
            let leaves = Bool.random(using: &random)
            if leaves {
                during {
                    swarm.leave(a)
                } _: {
                    swarm.restart(a)
                }
            } else {
                swarm.at(at) {
                    swarm.setClock(of: a, skew: skew)
                    for _ in 0..<20 { swarm.attack(b) }
                }
            }
        }
    }

    // MARK: What is looked at

    private static func isWell(_ swarm: SimulatedSwarm) -> Bool {
        swarm.ledger.outstanding == 0 && swarm.exchanges.outstanding == 0 && outOfTouch(swarm).isEmpty
    }

    private static func outOfTouch(_ swarm: SimulatedSwarm) -> [String] {
        swarm.members.flatMap { member in
            swarm.members.compactMap { other in
                other === member || member.paths[other.index] != nil
                    ? nil : "\(member.index) is not in touch with \(other.index)"
            }
        }
    }

    private static func missingDirect(_ swarm: SimulatedSwarm) -> [String] {
        swarm.members.flatMap { member in
            swarm.members.compactMap { other in
                guard other.index > member.index, NATKind.canMeet(member.natKind, other.natKind) else { return nil }
                let paths = [member.paths[other.index], other.paths[member.index]]
                guard paths.contains(where: { $0 != .direct && $0 != .turn }) else { return nil }
                let kinds = "\(member.natKind.rawValue), \(other.natKind.rawValue)"
                return "\(member.index) and \(other.index) (\(kinds)) are not connected directly"
            }
        }
    }
}

extension SwarmScenario.Outcome {
    /// All of it on one line.
    public var brief: String {
        let hash = String(traceHash, radix: 16)
        let healing = healed.map { "healed in \(Int($0.milliseconds)) ms" } ?? "not healed"
        let meeting = direct.map { "direct in \(Int($0.milliseconds)) ms" } ?? "not all direct"
        return
            "\(problems.isEmpty ? "well" : "\(problems.count) problems"), \(summary), \(Int(virtualTime.milliseconds / 1000)) s, "
            + "\(sent) messages, \(expired) expired, \(exchanges) exchanges, \(interrupted) interrupted, \(datagrams) datagrams, \(steps) steps, \(healing), \(meeting), trace \(hash)"
    }
}
