import SwarmBase
import SwarmEngine

/// How long messages are held up when a path breaks, and until it is back: two members and a relay, 50 ms from each other.
public struct PathFigures: Sendable {
    /// What happens.
    public enum Event: String, CaseIterable, Sendable {
        /// No datagram passes between the two any more, and nobody says so; after some seconds they pass again.
        case silentCut = "direct path cut"
        /// One of them moves to another network.
        case roaming = "roaming"
        /// The NAT of one of them forgets its mappings.
        case natReboot = "NAT reboot"
        /// The relay crashes while the two have no other path; after some seconds it is back.
        case relayRestart = "relay restart"
        /// As `silentCut`, with no relay alive, but a third member.
        case silentCutWithMesh = "direct path cut, mesh only"
    }

    /// The longest time between two messages that came, of those that are sent every 20 ms in both directions.
    public let gap: Duration
    /// From the moment at which the direct path was possible again, or the relay was back, until the path was used; `nil`
    /// when it was not within a minute.
    public let recovery: Duration?
    /// Messages that did not come, came twice or out of order.
    public let problems: Int

    /// Runs one trial.
    ///
    /// - Returns: `nil` when the two did not find each other, or OpenSSL made no certificate.
    public static func trial(_ event: Event, seed: UInt64, setClock: @escaping (Int64) -> Void) -> PathFigures? {
        let swarm = SimulatedSwarm(seed: seed, setClock: setClock)
        let relay = swarm.addServer(.relay)
        var random = SeededGenerator(seed: seed)
        var members: [SimulatedMember] = []
        for _ in 0..<(event == .silentCutWithMesh ? 3 : 2) {
            guard
                let member = try? swarm.addMember(
                    behind: event == .silentCutWithMesh ? .none : .portRestricted,
                    link: .delay(.nanoseconds(12_500_000)),
                    configure: { if event == .relayRestart { $0.paths = [.relay] } })
            else { return nil }
            members.append(member)
        }
        let (a, b) = (members[0], members[1])
        let usual: PathKind = event == .relayRestart ? .relay : .direct
        func isUsual() -> Bool { a.paths[b.index] == usual && b.paths[a.index] == usual }
        guard swarm.run(within: .seconds(20), until: isUsual) != nil else { return nil }
        swarm.run(for: .seconds(5))
        let arrivals = Arrivals()
        swarm.onMessage = { pair, _, _ in arrivals.note(pair, at: swarm.now) }
        let length = Duration.seconds(25)
        for tick in 0..<1_250 {
            swarm.at(swarm.now + .milliseconds(20 * tick)) {
                swarm.send(from: a, to: b, size: 30)
                swarm.send(from: b, to: a, size: 30)
            }
        }
        let start = swarm.now
        swarm.run(for: .milliseconds(Int.random(in: 1_000...3_000, using: &random)))
        if event == .silentCutWithMesh {
            swarm.crash(relay, losesStore: false)
            swarm.run(for: .seconds(1))
        }
        arrivals.begin()
        let outage = Duration.milliseconds(Int.random(in: 3_000...12_000, using: &random))
        var possible = swarm.now
        switch event {
        case .silentCut, .silentCutWithMesh:
            swarm.cut(from: a, to: b)
            swarm.cut(from: b, to: a)
            swarm.run(for: outage)
            possible = swarm.now
            swarm.heal(from: a, to: b)
            swarm.heal(from: b, to: a)
        case .roaming: swarm.roam(a, to: .portRestricted)
        case .natReboot: swarm.rebootNAT(of: a, keepsAddress: true)
        case .relayRestart:
            swarm.crash(relay, losesStore: false)
            swarm.run(for: outage)
            possible = swarm.now
            swarm.restart(relay)
        }
        if event == .roaming || event == .natReboot { swarm.run(for: .seconds(1)) }
        let last = arrivals.count
        let recovered =
            event == .relayRestart
            ? swarm.run(within: .minute) { arrivals.count > last } : swarm.run(within: .minute, until: isUsual)
        let recovery = recovered.map { _ in swarm.now - possible }
        swarm.run(for: max(.zero, length - (swarm.now - start)) + .seconds(5))
        let missing = swarm.ledger.missing.count
        return PathFigures(gap: arrivals.gap, recovery: recovery, problems: swarm.ledger.problems.count + missing)
    }

    /// When messages came, in each direction.
    private final class Arrivals {
        private var last: [DeliveryLedger.Pair: Instant] = [:]
        private(set) var gap = Duration.zero
        private(set) var count = 0
        private var isCounting = false

        func begin() { isCounting = true }

        func note(_ pair: DeliveryLedger.Pair, at now: Instant) {
            if isCounting, let before = last[pair] { gap = max(gap, now - before) }
            last[pair] = now
            count += 1
        }
    }
}

extension Duration {
    fileprivate static let minute = Duration.seconds(60)
}
