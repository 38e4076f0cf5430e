import Foundation
import JSON
import SwarmBase

/// One trial: two members meet, talk all the time, and everything befalls them that this place can do. Each is a process, and so is the
/// supernode.
final class ReliabilityTrial {
    typealias Moment = ContinuousClock.Instant

    private let place: any ReliabilityPlace
    private let directory: URL
    private let swarm = "bench-\(UInt64.random(in: 0 ... .max))"
    private var server: BenchProcess?
    private var port: Int64 = 0
    private var urls: (gun: String, tracker: String, stun: String) = ("", "", "")
    private var members: [BenchProcess] = []
    private var ids: [String] = []
    /// All processes that each member has been, for what they were handed.
    private var runs: [[BenchProcess]] = [[], []]
    private var talk: ReliabilityTalk?
    private var figures: ReliabilityFigures

    init(place: any ReliabilityPlace, name: String) {
        self.place = place
        figures = ReliabilityFigures(place: name)
        directory = FileManager.default.temporaryDirectory.appending(path: "swarm-space-bench-\(UUID().uuidString)")
    }

    /// Runs it and ends all that it started.
    ///
    /// - Throws: `CommandFailure` when something did not come about in half a minute.
    func run() async throws -> ReliabilityFigures {
        defer {
            talk?.stop()
            for process in runs.joined() { process.end(killed: true) }
            server?.end(killed: true)
            try? FileManager.default.removeItem(at: directory)
        }
        try await serve()
        try await meet()
        try await failOver()
        try await outage()
        try await restartRelay()
        if let roam = place.roam { figures.add(.roaming, try await gap(during: roam)) }
        if let rebootNAT = place.rebootNAT { figures.add(.natReboot, try await gap(during: rebootNAT)) }
        try await restartMember()
        try await settle()
        return figures
    }

    // MARK: The acts

    private func serve() async throws {
        let process = try BenchProcess(
            [
                "serve", "--json", "--no-dht", "--host", place.serverAddress, "--port", "\(port)", "--data",
                directory.appending(path: "serve").path,
            ], within: place.within(member: nil))
        server = process
        let ready = try await process.wait("the supernode") { $0.name == "ready" }.value
        guard let gun = ready["gun"]?.string, let tracker = ready["tracker"]?.string, let udp = ready["udp"]?.string,
            let number = udp.split(separator: ":").last.flatMap({ Int64($0) })
        else { throw CommandFailure(.failed, "the supernode says nothing of its addresses") }
        port = number
        urls = (gun, tracker, udp)
    }

    private func start(_ index: Int) throws -> BenchProcess {
        let process = try BenchProcess(
            [
                "join", swarm, "--json", "--no-dht", "--no-lan", "--name", "m\(index)", "--relay", urls.gun,
                "--tracker",
                urls.tracker, "--stun", urls.stun, "--data", directory.appending(path: "m\(index)").path,
            ], within: place.within(member: index))
        runs[index].append(process)
        return process
    }

    private func meet() async throws {
        members = [try start(0), try start(1)]
        var joined: [Moment] = []
        for member in members {
            let event = try await member.wait("a member") { $0.name == "joined" }
            guard let id = event.value["self"]?.string else { continue }
            ids.append(id)
            joined.append(event.at)
        }
        guard let begin = joined.max() else { return }
        // The first message waits at its sender from the beginning.
        let talk = ReliabilityTalk()
        self.talk = talk
        talk.start(members, ids)
        for (index, member) in members.enumerated() {
            let other = ids[1 - index]
            let found = try await member.wait("discovery") {
                $0.name == "discovered" && $0.value["peer"]?.string == other
            }
            figures.add(.discovery, found.at - begin)
            let message = try await member.wait("the first message") { $0.name == "message" }
            figures.add(.firstMessage, message.at - begin)
            figures.add(.directPath, try await direct(member, to: other).at - begin)
        }
        try await Task.sleep(for: .seconds(1))
    }

    private func failOver() async throws {
        let cut = ContinuousClock.now
        try place.cutDirect(members, true)
        try await Task.sleep(for: .seconds(3))
        let healed = ContinuousClock.now
        for index in 0...1 { figures.add(.failover, gap(at: index, from: cut, to: healed)) }
        try place.cutDirect(members, false)
        for (index, member) in members.enumerated() {
            figures.add(.directRecovery, try await direct(member, to: ids[1 - index], after: healed).at - healed)
        }
        try await Task.sleep(for: .seconds(1))
    }

    private func outage() async throws {
        try place.cutAll(members, true)
        try await Task.sleep(for: .seconds(5))
        let healed = ContinuousClock.now
        try place.cutAll(members, false)
        try await addRecovery(.outage, from: healed)
    }

    private func restartRelay() async throws {
        try place.cutDirect(members, true)
        for member in members {
            let since = ContinuousClock.now
            _ = try await member.wait("a message by the relay") {
                $0.name == "message" && $0.at > since && $0.value["path"]?.string == "relay"
            }
        }
        server?.end(killed: true)
        try await Task.sleep(for: .milliseconds(500))
        try await serve()
        try await addRecovery(.relayRestart, from: .now)
        let healed = ContinuousClock.now
        try place.cutDirect(members, false)
        for (index, member) in members.enumerated() { _ = try await direct(member, to: ids[1 - index], after: healed) }
        try await Task.sleep(for: .seconds(1))
    }

    /// One of the two is killed when nothing is on its way to it, so that what it was handed is known to have come; what is said
    /// meanwhile waits for it.
    private func restartMember() async throws {
        guard let talk else { return }
        talk.stop()
        try await settle(counts: false)
        members[1].end(killed: true)
        talk.say(20, from: 0, members, ids)
        members[1] = try start(1)
        let joined = try await members[1].wait("the member that was killed") { $0.name == "joined" }
        talk.start(members, ids)
        try await addRecovery(.memberRestart, from: joined.at)
        try await Task.sleep(for: .seconds(1))
    }

    /// The longest silence while something happens to the first member's network, and for three seconds after.
    private func gap(during change: () throws -> Void) async throws -> Duration {
        let begin = ContinuousClock.now
        try change()
        try await Task.sleep(for: .seconds(3))
        let gap = max(gap(at: 0, from: begin, to: .now), gap(at: 1, from: begin, to: .now))
        for (index, member) in members.enumerated() {
            _ = try await member.wait("messages after a change of the network") { [ids] in
                $0.name == "message" && $0.at > begin && $0.value["from"]?.string == ids[1 - index]
            }
        }
        try await Task.sleep(for: .seconds(2))
        return gap
    }

    // MARK: What is measured

    /// Waits for a message in each direction, and notes how long the slower one took.
    private func addRecovery(_ measure: ReliabilityFigures.Measure, from begin: Moment) async throws {
        var slowest = begin
        for member in members {
            let next = try await member.wait("messages again") { $0.name == "message" && $0.at > begin }
            slowest = max(slowest, next.at)
        }
        figures.add(measure, slowest - begin)
        try await Task.sleep(for: .seconds(1))
    }

    private func direct(_ member: BenchProcess, to other: String, after: Moment? = nil) async throws
        -> BenchProcess.Event
    {
        try await member.wait("the direct path") {
            guard $0.name == "peer" || $0.name == "path", $0.value["peer"]?.string == other else { return false }
            return $0.value["path"]?.string == "direct" && after.map { [at = $0.at] in at > $0 } ?? true
        }
    }

    /// The longest time without a message at a member, of what touches an interval.
    private func gap(at index: Int, from begin: Moment, to end: Moment) -> Duration {
        let moments = members[index].events.filter { $0.name == "message" }.map(\.at)
        let before = moments.last { $0 <= begin } ?? begin
        let within = moments.filter { $0 > begin && $0 <= end }
        return zip([before] + within, within + [end]).map { $1 - $0 }.max() ?? (end - before)
    }

    /// Waits until all that was said has arrived, and counts what did not, what came twice, and what came late.
    private func settle(counts: Bool = true) async throws {
        guard let talk else { return }
        if counts { talk.stop() }
        let deadline = ContinuousClock.now + .seconds(30)
        while ContinuousClock.now < deadline,
            (0...1).contains(where: { received(at: 1 - $0).count < talk.sent(from: $0) })
        {
            try await Task.sleep(for: .milliseconds(20))
        }
        try await Task.sleep(for: .milliseconds(300))  // What comes twice comes late.
        guard counts else { return }
        for sender in 0...1 {
            figures.messages.add(sent: talk.sent(from: sender), received: received(at: 1 - sender))
        }
    }

    private func received(at index: Int) -> [Int] {
        runs[index].flatMap(\.events).filter { $0.name == "message" }.compactMap { event in
            event.value["text"]?.string.flatMap { Int($0) }
        }
    }
}
