import ArgumentParser
import JSON
import Magnet
import SwarmBase
import SwarmEngine
import SwarmSpace

/// `swarm-space doctor`: what works from this network, and why not.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "What works from this network, and why not.",
        discussion: """
            Tries every way to find members and to be reached by them: each tracker, each relay, each STUN and TURN \
            server, the DHT over IPv4 and IPv6, the local network. It joins no swarm: to trackers it announces a random \
            one, and asks how many members they know of the one that is named. The status is 0 when members can be found from here, 69 when not.

            EXAMPLES
              swarm-space doctor 'magnet:?xt=urn:btih:…'
              swarm-space doctor --tracker wss://node.example.org/ --stun stun.example.org:3478 --json
            """)

    @Argument(help: "A magnet link: its trackers and relays are tried. Or the name of a swarm.")
    var swarm: String?

    @Option(help: ArgumentHelp("A tracker to try. May be repeated.", valueName: "url"))
    var tracker: [String] = []

    @Option(help: ArgumentHelp("A GUN relay to try. May be repeated.", valueName: "gun-url"))
    var relay: [String] = []

    @Option(
        help: ArgumentHelp("A STUN server to try; two show the kind of NAT. May be repeated.", valueName: "host:port"))
    var stun: [String] = []

    @Option(help: ArgumentHelp("A TURN server to try. May be repeated.", valueName: "url"))
    var turn: [String] = []

    @Option(name: .customLong("turn-user"), help: ArgumentHelp("The user name there.", valueName: "user"))
    var turnUser: String?

    @Option(name: .customLong("turn-password"), help: ArgumentHelp("The password there.", valueName: "password"))
    var turnPassword: String?

    @Option(
        name: .customLong("dht-bootstrap"),
        help: ArgumentHelp(
            "A node of the DHT to begin with. May be repeated. (default: the public ones)", valueName: "host:port"))
    var dhtBootstrap: [String] = []

    @Flag(name: .customLong("no-dht"), help: "Do not try the DHT.")
    var noDHT = false

    @Flag(name: .customLong("no-lan"), help: "Do not try the local network.")
    var noLAN = false

    @Option(help: "How long to try, in seconds.")
    var seconds = 8.0

    @Flag(help: "Print JSON, one object a line.")
    var json = false

    func validate() throws {
        guard turn.isEmpty || (turnUser != nil && turnPassword != nil) else {
            throw ValidationError("--turn needs --turn-user and --turn-password")
        }
        guard (0.5...120).contains(seconds) else { throw ValidationError("--seconds: give 0.5 to 120") }
        do {
            try settings().validate()
        } catch {
            throw ValidationError(error.message)
        }
    }

    private func settings() throws(SwarmError) -> SwarmConfiguration {
        var invite: Invite?
        if let swarm { invite = try Invite(swarm) }
        var configuration = SwarmConfiguration()
        configuration.trackers = tracker + (invite?.trackers ?? [])
        configuration.relays = relay + (invite?.relays ?? [])
        configuration.stunServers = stun
        configuration.turnServers = turn.map {
            TURNServerConfiguration(url: $0, username: turnUser ?? "", password: turnPassword ?? "")
        }
        configuration.usesDHT = !noDHT
        configuration.dhtBootstrap = dhtBootstrap
        configuration.usesLocalNetwork = !noLAN
        return configuration
    }

    func run() async throws {
        let output = ConsoleOutput()
        var random = SystemRandomNumberGenerator()
        let nobody: Swarm
        do {
            nobody = try await Swarm.join(
                Invite("doctor \(random.bytes(20).hexadecimal)"), configuration: settings())
        } catch {
            throw CommandFailure(.unavailable, error.message)
        }
        async let counts = members()
        if !json { output.note("trying for up to \(Int(seconds.rounded(.up))) seconds …") }
        let clock = ContinuousClock()
        let end = clock.now + .milliseconds(Int64(seconds * 1000))
        var status = await nobody.status
        while clock.now < end {
            try? await Task.sleep(for: .milliseconds(100))
            status = await nobody.status
            // A failure may be that of one moment: it gets the whole time.
            let expected =
                nobody.trackers.count + nobody.relays.count + stun.count + turn.count + (noLAN ? 0 : 1)
                + (noDHT ? 0 : 1)
            if let planes = status?.planes, planes.count >= expected, planes.allSatisfy(Self.isSettled) { break }
        }
        await nobody.leave()
        let report = DoctorReport(
            planes: status?.planes ?? [], hostAddresses: status?.hostAddresses ?? [],
            unresolved: unresolved(among: status?.planes ?? [], trackers: nobody.trackers), members: await counts)
        for line in json ? report.json.map({ $0.serialized() }) : report.lines.map({ Array($0.utf8) }) {
            output.line(line)
        }
        await output.written()
        if !report.findsMembers { throw ExitCode(CommandFailure.Status.unavailable.rawValue) }
    }

    /// How many members the trackers know of the swarm, if one is named.
    private func members() async -> [MemberCount] {
        guard let swarm, let invite = try? Invite(swarm) else { return [] }
        return await invite.countMembers(trackers: tracker, within: .milliseconds(Int64(seconds * 1000)))
    }

    /// Whether more time would tell no more. The DHT also tells of the NAT, when enough of its nodes have said how they see us.
    private static func isSettled(_ plane: PlaneStatus) -> Bool {
        plane.state == .working && (plane.kind != .dht || plane.mapping != nil)
    }

    /// Servers whose names nobody knows are no planes yet; so they are reported as what they are.
    private func unresolved(among planes: [PlaneStatus], trackers: [String]) -> [PlaneStatus] {
        func missing(_ kind: PlaneStatus.Kind, _ name: String) -> PlaneStatus {
            PlaneStatus(kind: kind, name: name, state: .failing, failures: 1, reason: "its name cannot be found")
        }
        var missed = trackers.filter { url in !planes.contains { $0.name == url } }.map { missing(.tracker, $0) }
        if planes.filter({ $0.kind == .stun }).count < stun.count {
            let known = planes.filter { $0.kind == .stun }.map(\.name)
            missed += stun.filter { IPAddress($0.split(separator: ":").dropLast().joined(separator: ":")) == nil }
                .dropLast(max(0, known.count)).map { missing(.stun, $0) }
        }
        return missed
    }
}
