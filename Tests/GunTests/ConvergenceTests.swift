import Foundation
import JSON
import SwarmBase
import Testing

@testable import Gun

/// Conflict resolution and replication as properties.
///
/// `SWARM_SPACE_SEEDS` says how many seeds, `SWARM_SPACE_FIRST_SEED` from which on; `SWARM_SPACE_SEED` runs a single one again.
/// `scripts/simulate --only graph` does so, optimised.
@Suite struct ConvergenceTests {
    private static let seeds: Range<UInt64> = {
        func number(_ name: String) -> UInt64? { ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } }
        if let only = number("SWARM_SPACE_SEED") { return only..<only + 1 }
        let first = number("SWARM_SPACE_FIRST_SEED") ?? 0
        return first..<first + (number("SWARM_SPACE_SEEDS") ?? 300)
    }()

    private static func write(using random: inout SeededGenerator) -> GunRecord {
        let values: [GunValue] = [
            .null, true, false, 0, 9, 10, -1, "", "a", "é", .link("soul"), .text(JSONText(utf16: [0xd83d])), "\u{ffff}",
            "😀",
        ]
        return GunRecord(
            soul: ["s", "t", "~u"][Int.random(in: 0..<3, using: &random)],
            key: ["a", "b"][Int.random(in: 0..<2, using: &random)],
            value: values[Int.random(in: 0..<values.count, using: &random)],
            state: [0, 1, 1.001, 2, -3][Int.random(in: 0..<5, using: &random)])
    }

    private static func merged(_ writes: [GunRecord], into start: [RecordAddress: GunEntry] = [:]) -> [RecordAddress:
        GunEntry]
    {
        var held = start
        for write in writes where HAM.supersedes(write.entry, held[write.address]) { held[write.address] = write.entry }
        return held
    }

    private static func records(_ graph: [RecordAddress: GunEntry]) -> [GunRecord] {
        graph.map { GunRecord(soul: $0.key.soul, key: $0.key.key, entry: $0.value) }
    }

    @Test func mergingIsCommutativeAssociativeAndIdempotent() {
        for seed in Self.seeds {
            var random = SeededGenerator(seed: seed)
            let graphs = (0..<3).map { _ in
                Self.merged((0..<Int.random(in: 0...8, using: &random)).map { _ in Self.write(using: &random) })
            }
            let (a, b, c) = (graphs[0], graphs[1], graphs[2])
            func merge(_ x: [RecordAddress: GunEntry], _ y: [RecordAddress: GunEntry]) -> [RecordAddress: GunEntry] {
                Self.merged(Self.records(y), into: x)
            }
            #expect(merge(a, b) == merge(b, a), "seed \(seed)")
            #expect(merge(merge(a, b), c) == merge(a, merge(b, c)), "seed \(seed)")
            #expect(merge(a, a) == a, "seed \(seed)")
        }
    }

    /// Replicas that are linked as members, in any connected shape that changes: frames are delayed and, when a link
    /// breaks, lost; what is queued waits for writability. In the end all who follow hold the same.
    @Test func replicasConverge() {
        for seed in Self.seeds {
            var net = MemberNetwork(seed: seed)
            net.run()
            #expect(net.difference() == nil, "seed \(seed): \(net.difference() ?? "")")
            #expect(net.sent < 20_000, "seed \(seed): a storm")
        }
    }
}

/// Clients linked to each other as members, on virtual time.
private struct MemberNetwork {
    private var random: SeededGenerator
    private var replicas: [GunClient]
    private var now = Instant.zero
    private let wallStart = 1_800_000_000_000.0
    /// Each link of each side: the other replica and its link there.
    private var ends: [Int: [LinkID: (replica: Int, link: LinkID)]] = [:]
    private var frames: [(at: Instant, order: Int, replica: Int, link: LinkID, frame: [UInt8])] = []
    private var lastArrival: [Int: [LinkID: Instant]] = [:]
    private var nextLink: UInt64 = 1
    private(set) var sent = 0
    private let souls: [Soul] = ["room", "list"]

    var wall: Double { wallStart + (now - .zero).milliseconds }

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
        let count = Int.random(in: 2...5, using: &random)
        replicas = []
        for _ in 0..<count { replicas.append(GunClient(entropy: .seed(random.next()))) }
        for replica in replicas.indices {
            for soul in souls { replicas[replica].subscribe(soul, audience: .everybody, now: now) }
        }
        for replica in 1..<count { connect(replica, Int.random(in: 0..<replica, using: &random)) }
    }

    mutating func connect(_ a: Int, _ b: Int) {
        guard a != b, ends[a]?.values.contains(where: { $0.replica == b }) != true else { return }
        let (atA, atB) = (LinkID(nextLink), LinkID(nextLink + 1))
        nextLink += 2
        ends[a, default: [:]][atA] = (b, atB)
        ends[b, default: [:]][atB] = (a, atA)
        replicas[a].linkOpened(atA, kind: .member, now: now)
        replicas[b].linkOpened(atB, kind: .member, now: now)
        drain()
    }

    mutating func cut(_ a: Int, _ link: LinkID) {
        guard let other = ends[a]?.removeValue(forKey: link) else { return }
        ends[other.replica]?[other.link] = nil
        frames.removeAll {
            ($0.replica == a && $0.link == link) || ($0.replica == other.replica && $0.link == other.link)
        }
        replicas[a].linkClosed(link, now: now)
        replicas[other.replica].linkClosed(other.link, now: now)
    }

    private mutating func drain() {
        for replica in replicas.indices {
            while let (link, frame) = replicas[replica].pollTransmit() {
                guard let other = ends[replica]?[link] else { continue }
                sent += 1
                let arrival = max(
                    now + .milliseconds(Int.random(in: 1...60, using: &random)),
                    lastArrival[other.replica]?[other.link] ?? .zero)
                lastArrival[other.replica, default: [:]][other.link] = arrival
                frames.append((arrival, sent, other.replica, other.link, frame))
                // One frame in six arrives twice.
                if Int.random(in: 0..<6, using: &random) == 0 {
                    frames.append((arrival, sent, other.replica, other.link, frame))
                }
            }
            while replicas[replica].pollEvent() != nil {}
        }
    }

    mutating func advance(_ duration: Duration) {
        let end = now + duration
        while true {
            var next: Instant? = frames.map(\.at).min()
            for replica in replicas { next = .earlier(next, replica.nextTimeout) }
            guard let next, next <= end else { break }
            now = max(now, next)
            let due = frames.filter { $0.at <= now }.sorted { ($0.at, $0.order) < ($1.at, $1.order) }
            frames.removeAll { $0.at <= now }
            for delivery in due where ends[delivery.replica]?[delivery.link] != nil {
                replicas[delivery.replica].receive(frame: delivery.frame, on: delivery.link, now: now, wall: wall)
            }
            for replica in replicas.indices where replicas[replica].nextTimeout.map({ $0 <= now }) == true {
                replicas[replica].handleTimeout(now: now, wall: wall)
            }
            drain()
        }
        now = end
    }

    mutating func run() {
        for _ in 0..<25 {
            let replica = Int.random(in: 0..<replicas.count, using: &random)
            switch Int.random(in: 0..<10, using: &random) {
            case 0: if let link = ends[replica]?.keys.sorted().randomElement(using: &random) { cut(replica, link) }
            case 1, 2: connect(replica, Int.random(in: 0..<replicas.count, using: &random))
            case 3:
                if let link = ends[replica]?.keys.sorted().randomElement(using: &random) {
                    replicas[replica].linkWritabilityChanged(link, isWritable: Bool.random(using: &random))
                }
            default:
                let key = Key(stringLiteral: "k\(Int.random(in: 0..<5, using: &random))")
                let value: GunValue =
                    Bool.random(using: &random) ? .null : .number(FiniteNumber(Int.random(in: 0..<99, using: &random)))
                let skew = Double(Int.random(in: -200...200, using: &random))
                replicas[replica].put(
                    souls[Int.random(in: 0..<2, using: &random)], [(key, value)], state: wall + skew, durable: false,
                    audience: .everybody, now: now)
            }
            drain()
            advance(.milliseconds(Int.random(in: 0...120, using: &random)))
        }
        // It all comes together again.
        for replica in 1..<replicas.count { connect(replica, replica - 1) }
        for replica in replicas.indices {
            for link in ends[replica]?.keys.sorted() ?? [] {
                replicas[replica].linkWritabilityChanged(link, isWritable: true)
            }
        }
        drain()
        advance(.seconds(20))
    }

    /// A soul of which two replicas hold different things.
    func difference() -> String? {
        for soul in souls {
            for replica in replicas.dropFirst() where replica.node(soul)?.entries != replicas[0].node(soul)?.entries {
                return
                    "\(soul): \(String(describing: replica.node(soul))), \(String(describing: replicas[0].node(soul)))"
            }
        }
        return nil
    }
}
