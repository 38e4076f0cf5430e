import Logging
import Supernode
import SwarmBase
import SwarmEngine
import SwarmSpace

/// The story: three members meet, talk, lose one path, then both, and recover.
struct DemoScenario: Sendable {
    /// A step that did not come to its end.
    struct Failure: Error {
        var message: String
    }

    static let names = ["Alice", "Bob", "Carol"]
    /// How often each sends to each other.
    static let interval: Duration = .milliseconds(40)

    let screen: StepScreen
    let log = DemoLog()

    private var pairs: [DemoPair] {
        Self.names.indices.flatMap { sender in
            Self.names.indices.filter { $0 != sender }.map { DemoPair(sender: sender, receiver: $0) }
        }
    }

    /// - Throws: `Failure` when a step takes too long or something cannot be opened.
    func run() async throws -> DemoFigures {
        await screen.begin("starting a supernode")
        var (supernode, endpoints) = try await serve(port: 0)
        await screen.done("a supernode serves on \(endpoints.udp): tracker, GUN relay, STUN")

        let start = log.now
        await screen.begin("Alice, Bob and Carol join")
        let members = try await join(endpoints)
        let indices = Dictionary(uniqueKeysWithValues: members.enumerated().map { ($1.peerID, $0) })
        let readers = members.enumerated().map { index, member in
            Task { for await event in member.events { log.note(event, receiver: index, members: indices) } }
        }
        let senders = members.enumerated().map { index, member in
            Task { try await send(from: index, member, to: members.map(\.peerID)) }
        }
        do {
            let moments = try await play(members, start: start, supernode: &supernode, port: endpoints.port)
            for sender in senders { sender.cancel() }
            for sender in senders { try await sender.value }
            await screen.begin("waiting for the last messages")
            try await wait("the last messages to arrive", 10) { log in
                pairs.allSatisfy { (log.delivered[$0] ?? 0) >= (log.sent[$0] ?? 0) }
            }
            try? await Task.sleep(for: .milliseconds(300))  // What comes twice comes late.
            let figures = DemoFigures(log.snapshot, moments(log.now))
            await screen.done("every sender knows that every message has arrived")
            await close(members, readers, supernode)
            return figures
        } catch {
            for sender in senders { sender.cancel() }
            await close(members, readers, supernode)
            throw error as? Failure ?? Failure(message: "\(error)")
        }
    }

    // MARK: The acts

    /// - Returns: makes the moments, given the last one.
    private func play(
        _ members: [Swarm], start: DemoLog.Moment, supernode: inout Supernode, port: UInt16
    ) async throws -> (DemoLog.Moment) -> DemoFigures.Moments {
        try await wait("the members to find each other", 10) { log in pairs.allSatisfy { log.discovered[$0] != nil } }
        let planes = log.snapshot.planes.map { $0 == .gun ? "the GUN relay" : "the tracker" }.sorted()
        await screen.done("everybody has found everybody, through \(planes.joined(separator: " and "))")

        await screen.begin("first messages")
        try await wait("the first messages", 10) { log in pairs.allSatisfy { log.received[$0] != nil } }
        let paths = Set(log.snapshot.received.values.compactMap { $0.first?.path.rawValue }).sorted()
        await screen.done(
            "the first messages have arrived, by \(paths.joined(separator: " and ")), end-to-end encrypted")

        await screen.begin("connecting directly: offers, answers, ICE, DTLS, SCTP")
        try await wait("the direct paths", 12) { log in pairs.allSatisfy { log.path[$0] == .direct } }
        await screen.done("WebRTC connects every pair: messages have moved to the direct path")
        try await talk("talking directly", seconds: 1.5)

        let cut = log.now
        for member in members { try await member.block(.direct) }
        await screen.begin("the direct paths are cut")
        try await wait("messages by the relay", 8) { log in
            pairs.allSatisfy { log.received[$0]?.last.map { $0.at > cut && $0.path == .relay } == true }
        }
        await screen.done("the direct paths are cut, without notice: messages go by the relay now")
        try await talk("talking over the relay", seconds: 1.5)

        let relayGone = log.now
        await screen.begin("the supernode goes down too")
        await supernode.stop()
        try? await Task.sleep(for: .milliseconds(500))
        supernode = try await serve(port: port).0
        let back = log.now
        try await wait("messages by the restarted relay", 10) { log in
            pairs.allSatisfy { log.received[$0]?.last.map { $0.at > back } == true }
        }
        await screen.done("the supernode was stopped and started anew, knowing nothing: messages flow again")
        try await talk("talking over the relay", seconds: 0.5)

        let mended = log.now
        for member in members { try await member.unblock(.direct) }
        await screen.begin("the direct paths are mended")
        try await wait("the direct paths to come back", 12) { log in
            pairs.allSatisfy { pair in log.received[pair]?.last.map { $0.at > mended && $0.path == .direct } == true }
        }
        await screen.done("the direct paths are mended, and used again")
        try await talk("talking directly", seconds: 1.5)
        return { end in
            DemoFigures.Moments(start: start, cut: cut, relayGone: relayGone, mended: mended, end: end)
        }
    }

    private func talk(_ text: String, seconds: Double) async throws {
        await screen.begin(text)
        let before = log.snapshot.received.values.reduce(0) { $0 + $1.count }
        try await Task.sleep(for: .seconds(seconds))
        let count = log.snapshot.received.values.reduce(0) { $0 + $1.count } - before
        await screen.done("\(text): \(grouped(count)) messages in \(seconds) s")
    }

    // MARK: The cast

    private func serve(port: UInt16) async throws -> (Supernode, SupernodeEndpoints) {
        let supernode = Supernode(
            configuration: SupernodeConfiguration(host: .v4(0x7f00_0001), port: port),
            logger: Logger(label: "demo") { _ in SwiftLogNoOpLogHandler() })
        do { return (supernode, try await supernode.start()) } catch {
            throw Failure(message: "the supernode cannot serve: \(error)")
        }
    }

    private func join(_ endpoints: SupernodeEndpoints) async throws -> [Swarm] {
        try await withThrowingTaskGroup(of: (Int, Swarm).self) { group in
            for (index, name) in Self.names.enumerated() {
                group.addTask {
                    var configuration = SwarmConfiguration()
                    configuration.usesLocalNetwork = false
                    configuration.usesDHT = false
                    configuration.name = name
                    configuration.trackers = [endpoints.tracker]
                    configuration.relays = [endpoints.gun]
                    configuration.stunServers = [endpoints.udp]
                    configuration.includesLoopback = true
                    return (index, try await Swarm.join(Invite("demo"), configuration: configuration))
                }
            }
            var members: [(Int, Swarm)] = []
            for try await member in group { members.append(member) }
            return members.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    /// Sends numbered messages to everybody who is known, until cancelled.
    private func send(from index: Int, _ member: Swarm, to peers: [PeerID]) async throws {
        while !Task.isCancelled {
            for (other, peer) in peers.enumerated() where other != index {
                guard let number = log.nextNumber(DemoPair(sender: index, receiver: other)) else { continue }
                try await member.send("\(number) from \(Self.names[index]) to \(Self.names[other])", to: peer)
            }
            try? await Task.sleep(for: Self.interval)
        }
    }

    private func close(_ members: [Swarm], _ readers: [Task<Void, Never>], _ supernode: Supernode) async {
        await withTaskGroup(of: Void.self) { group in
            for member in members { group.addTask { await member.leave() } }
        }
        for reader in readers { await reader.value }
        await supernode.stop()
    }

    private func wait(_ what: String, _ seconds: Int, until condition: (DemoLog.Contents) -> Bool) async throws {
        let deadline = log.now + .seconds(seconds)
        while !condition(log.snapshot) {
            guard log.now < deadline else { throw Failure(message: "\(what) took more than \(seconds) s") }
            try await Task.sleep(for: .milliseconds(5))
        }
    }
}
