import Foundation
import ICE
import SCTP
import SwarmBase
import SwarmSimulator
import Testing
import WebRTC

/// Whole connections over random bad paths: what is promised of each kind of channel holds, and in the end all is well.
///
/// `SWARM_SPACE_SEEDS` says how many seeds, `SWARM_SPACE_FIRST_SEED` from which on; `SWARM_SPACE_SEED` runs a single one again. `scripts/simulate`
/// does so optimised: 1,000 in half a minute.
@Suite struct BadPathTests {
    private static func number(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
    }

    static let seeds: Range<UInt64> = {
        if let only = number("SWARM_SPACE_SEED") { return only..<only + 1 }
        let first = number("SWARM_SPACE_FIRST_SEED") ?? 1
        return first..<first + (number("SWARM_SPACE_SEEDS") ?? 40)
    }()
    /// Blocks run in parallel.
    static let blocks = UInt64(16)

    @Test(arguments: 0..<blocks) func promisesHold(block: UInt64) throws {
        for seed in Self.seeds where seed % Self.blocks == block {
            var run = try BadPathRun(seed: seed)
            let problems = try run.problems()
            #expect(problems.isEmpty, "seed \(seed): \(problems.joined(separator: "; ")) [\(run.description)]")
            if !problems.isEmpty { print("failing seed: \(seed)") }
        }
    }
}

/// One random path, random traffic on it, and what may happen to it.
private struct BadPathRun {
    struct Sent {
        let at: Instant
        let payload: [UInt8]
    }

    struct Flow {
        let sender: SimulatedPeer
        let receiver: SimulatedPeer
        let handle: DataChannelHandle
        let options: DataChannelOptions
        var sent: [Sent] = []

        var received: [(at: Instant, payload: [UInt8])] {
            guard let handle = receiver.opened.first(where: { $0.value.options.label == options.label })?.key else {
                return []
            }
            return receiver.messages[handle] ?? []
        }

        var isReliable: Bool { options.reliability == .reliable }
    }

    private let simulation: Simulation
    private let a: SimulatedPeer
    private let b: SimulatedPeer
    private var random: SeededGenerator
    private var conditions = LinkConditions()
    private var flows: [Flow] = []
    private let nat: VirtualNetwork.NATID?
    private let signalingDelay: Duration
    private var log: [String] = []
    private let negotiation = Negotiation()
    private var wasDisturbed = false

    var description: String { log.joined(separator: ", ") }

    /// Shared by closures: one exchange of descriptions at a time.
    private final class Negotiation { var isUnderWay = false }

    init(seed: UInt64) throws {
        random = SeededGenerator(seed: seed &* 0x9e37_79b9)
        simulation = Simulation(seed: seed)
        // Mostly near, sometimes as far as a satellite.
        let farthest = [20, 100, 100, 500].randomElement(using: &random) ?? 100
        conditions.delay = .milliseconds(Int.random(in: 0...farthest, using: &random))
        conditions.jitter = .milliseconds(Int.random(in: 0...(farthest / 4), using: &random))
        if !Int.random(in: 0..<8, using: &random).isMultiple(of: 8) {
            conditions.loss = Double.random(in: 0...0.3, using: &random)
            conditions.reordering = Double.random(in: 0...0.1, using: &random)
        }
        conditions.duplication = Double.random(in: 0...0.05, using: &random)
        if Bool.random(using: &random) {
            conditions.bitsPerSecond = Int.random(in: 500_000...50_000_000, using: &random)
        }
        nat = Bool.random(using: &random) ? simulation.network.addNAT(.portRestricted) : nil
        let hosts = [simulation.network.addHost(behind: nat), simulation.network.addHost()]
        conditions.maximumTransmissionUnit = Self.transmissionUnits.randomElement(using: &random) ?? nil
        var configuration = PeerConnectionConfiguration()
        configuration.sctp.maxProbedPacketSize = SCTPConfiguration.largestUsefulPacketSize
        a = try simulation.addPeer("a", host: hosts[0], seed: random.next(), configuration: configuration)
        b = try simulation.addPeer("b", host: hosts[1], seed: random.next(), configuration: configuration)
        signalingDelay = .milliseconds(Int.random(in: 0...500, using: &random))
        setConditions(conditions)
        log = [
            "loss \(Int(conditions.loss * 100)) %", "delay \(conditions.delay)", "jitter \(conditions.jitter)",
            "rate \(conditions.bitsPerSecond ?? 0)",
            "MTU \(conditions.maximumTransmissionUnit ?? 0)", nat == nil ? "no NAT" : "NAT",
        ]
    }

    /// Tunnels, Ethernet, jumbo frames.
    private static let transmissionUnits: [Int?] = [nil, 1280, 1400, 1492, 1500, 9000]

    private func setConditions(_ conditions: LinkConditions) {
        simulation.network.setUplink(of: a.host, conditions)
        simulation.network.setUplink(of: b.host, conditions)
    }

    /// Runs it all, and says what was not as it should be.
    mutating func problems() throws -> [String] {
        try openChannels()
        let offerer = Bool.random(using: &random) ? a : b
        log.append("\(offerer.name) offers")
        try negotiate(from: offerer, restart: false)
        supervise()
        if Bool.random(using: &random) { try sendSome() }
        guard
            simulation.run(
                for: .seconds(120), until: { [a, b] in [a, b].allSatisfy { $0.connection.state == .connected } })
        else { return ["not connected: \(a.states) \(b.states)"] }
        // The handshake is protected by checksums only, all that follows by cryptography.
        conditions.corruption = Double.random(in: 0...0.02, using: &random)
        // The path may have become narrower, or wider, without a word.
        conditions.maximumTransmissionUnit = Self.transmissionUnits.randomElement(using: &random) ?? nil
        setConditions(conditions)
        for _ in 0..<Int.random(in: 2...6, using: &random) {
            try sendSome()
            if Int.random(in: 0..<3, using: &random) == 0 { try disturb() }
            simulation.run(for: .milliseconds(Int.random(in: 0...3000, using: &random)))
        }
        let reliable = flows.filter(\.isReliable)
        let complete = simulation.run(for: .seconds(1500)) {
            reliable.allSatisfy { $0.received.count >= $0.sent.count }
        }
        log.append("done at \(simulation.now - .zero)")
        var problems: [String] = []
        if !complete {
            problems.append(
                "not finished: \(reliable.map { "\($0.received.count)/\($0.sent.count)" }), \(a.connection.state)")
        }
        // Nothing comes twice, nothing is left behind, and the connection is whole.
        simulation.run(for: .seconds(5))
        let healed = simulation.run(for: .seconds(90)) { [a, b, flows] in
            [a, b].allSatisfy { $0.connection.state == .connected }
                && flows.allSatisfy { $0.sender.connection.bufferedAmount(of: $0.handle) == 0 }
        }
        if !healed {
            problems.append("not whole in the end: \(a.connection.state) \(b.connection.state)")
            problems.append("\(flows.map { $0.sender.connection.bufferedAmount(of: $0.handle) })")
        }
        for flow in flows { problems += judge(flow) }
        problems += close()
        return problems
    }

    // MARK: What happens

    private mutating func openChannels() throws {
        for side in [a, b] {
            for number in 0..<Int.random(in: 1...3, using: &random) {
                let reliability: DataChannelOptions.Reliability
                switch Int.random(in: 0..<4, using: &random) {
                case 0: reliability = .maxRetransmits(UInt16.random(in: 0...3, using: &random))
                case 1: reliability = .maxPacketLifeTime(UInt16.random(in: 50...2000, using: &random))
                default: reliability = .reliable
                }
                let options = DataChannelOptions(
                    label: "\(side.name)\(number)", isOrdered: Bool.random(using: &random), reliability: reliability)
                let handle = try side.connection.openChannel(options, now: simulation.now)
                flows.append(Flow(sender: side, receiver: side === a ? b : a, handle: handle, options: options))
            }
        }
    }

    private mutating func sendSome() throws {
        for index in flows.indices {
            for _ in 0..<Int.random(in: 0...5, using: &random) {
                let isLong = Int.random(in: 0..<10, using: &random) == 0
                let size = Int.random(in: 4...(isLong ? 20_000 : 1500), using: &random)
                var writer = ByteWriter(capacity: size)
                writer.integer(UInt32(flows[index].sent.count))
                writer.append(repeatElement(UInt8(truncatingIfNeeded: size), count: size - 4))
                let flow = flows[index]
                try flow.sender.connection.send(writer.bytes, kind: .binary, on: flow.handle, now: simulation.now)
                flows[index].sent.append(Sent(at: simulation.now, payload: writer.bytes))
            }
        }
        simulation.drain()
    }

    private mutating func disturb() throws {
        wasDisturbed = true
        switch Int.random(in: 0..<6, using: &random) {
        case 0, 1:
            // Consent lasts 30 s: what is longer needs a restart.
            let isLong = Int.random(in: 0..<6, using: &random) == 0
            let time = Duration.milliseconds(Int.random(in: isLong ? 32_000...45_000 : 200...20_000, using: &random))
            var cut = conditions
            cut.isCut = true
            let both = Bool.random(using: &random)
            simulation.network.setUplink(of: a.host, cut)
            if both { simulation.network.setUplink(of: b.host, cut) }
            simulation.later(time) { [simulation, conditions, a, b] in
                simulation.network.setUplink(of: a.host, conditions)
                simulation.network.setUplink(of: b.host, conditions)
            }
            log.append("cut \(both ? "both ways" : "one way") for \(time)")
        case 2, 3:
            let side = Bool.random(using: &random) ? a : b
            try negotiate(from: side, restart: true)
            log.append("\(side.name) restarts")
        case 4:
            if let nat { simulation.network.reboot(nat, keepsAddress: Bool.random(using: &random)) }
            log.append("NAT reboots")
        default:
            let side = Bool.random(using: &random) ? a : b
            side.connection.networkChanged(now: simulation.now)
            log.append("\(side.name) changes networks")
        }
    }

    private func negotiate(from side: SimulatedPeer, restart: Bool) throws {
        guard !negotiation.isUnderWay else { return }
        negotiation.isUnderWay = true
        try simulation.negotiate(
            from: side, to: side === a ? b : a, restart: restart, delay: signalingDelay,
            done: { [negotiation] in negotiation.isUnderWay = false })
    }

    /// What an application does with a connection that has failed: it asks for a restart, again and again.
    private func supervise() {
        simulation.later(.seconds(3)) { [self] in
            if [a, b].contains(where: { $0.connection.state == .failed }) { try? negotiate(from: a, restart: true) }
            if [a, b].allSatisfy({ $0.connection.state != .closed }) { supervise() }
        }
    }

    // MARK: What is promised

    private func judge(_ flow: Flow) -> [String] {
        let name =
            "\(flow.options.label) (\(flow.options.isOrdered ? "ordered" : "unordered"), \(flow.options.reliability))"
        let received = flow.received
        let numbers = received.map { item in item.payload.prefix(4).reduce(0) { $0 << 8 | Int($1) } }
        var problems: [String] = []
        for (item, number) in zip(received, numbers) {
            guard flow.sent.indices.contains(number), flow.sent[number].payload == item.payload else {
                problems.append("\(name): a message that was never sent")
                continue
            }
            if !flow.options.isOrdered, let lifetime = flow.options.maxPacketLifeTime,
                let open = flow.sender.opened[flow.handle]?.at, flow.sent[number].at >= open
            {
                // Not sent any more once its time is over, whatever happens to the path. (Until a channel is open it keeps
                // the order, and so waits for others.)
                let late = item.at - flow.sent[number].at - .milliseconds(Int64(lifetime)) - conditions.longestDelay
                if late > .milliseconds(1) { problems.append("\(name): \(late) late") }
            }
        }
        if Set(numbers).count != numbers.count { problems.append("\(name): a message came twice") }
        if flow.options.isOrdered, numbers != numbers.sorted() { problems.append("\(name): out of order") }
        let isClean = conditions.loss == 0 && !wasDisturbed && conditions.corruption < 0.001
        let mustBeComplete = flow.isReliable || (isClean && flow.options.maxRetransmits == 3)
        if mustBeComplete, numbers.sorted() != Array(flow.sent.indices) {
            problems.append("\(name): \(numbers.count) of \(flow.sent.count)")
        }
        return problems
    }

    /// A channel that one side closes is closed on both, and the connection goes on.
    private func close() -> [String] {
        guard let flow = flows.first else { return [] }
        flow.sender.connection.close(channel: flow.handle, now: simulation.now)
        let closed = simulation.run(for: .seconds(120)) { [flow] in
            flow.sender.closed.contains(flow.handle) && flow.receiver.closed.count == 1
        }
        return closed ? [] : ["\(flow.options.label) did not close"]
    }
}
