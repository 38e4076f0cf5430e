import ArgumentParser
import NIOCore
import NIOPosix
import SwarmEngine
import SwarmSpace

/// `swarm-space join`: take part in a swarm, as a chat or by JSON.
struct JoinCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "join",
        abstract: "Join a swarm, and chat.",
        discussion: """
            The swarm is a magnet link, or a plain name: everybody who uses the same name (and secret) meets. Each line \
            that is typed goes to all members; /help lists the rest. With --json, input and output are one JSON object \
            a line.

            EXAMPLES
              swarm-space join 'magnet:?xt=urn:btih:…'
              swarm-space join meadow --name Alice --tracker wss://node.example.org/ --relay wss://node.example.org/gun
              swarm-space join meadow --turn turns:turn.example.org --turn-user meadow --turn-password rain
              swarm-space join meadow --secret "correct horse" --data ~/.meadow --relay wss://node.example.org/gun
            """)

    @Argument(help: "A magnet link, or the name of a swarm.")
    var swarm: String

    @Option(help: ArgumentHelp("What the others call you.", valueName: "nick"))
    var name = ""

    @Option(help: "The passphrase of a private swarm.")
    var secret: String?

    @Option(
        help: ArgumentHelp("A tracker (wss, udp, https), beside those of the link. May be repeated.", valueName: "url"))
    var tracker: [String] = []

    @Option(help: ArgumentHelp("A GUN relay, beside those of the link. May be repeated.", valueName: "gun-url"))
    var relay: [String] = []

    @Option(
        help: ArgumentHelp("A STUN server to ask for our outside address. May be repeated.", valueName: "host:port"))
    var stun: [String] = []

    @Option(
        help: ArgumentHelp(
            "A TURN server to be reached through: turn:host:port, with ?transport=tcp, or turns:. May be repeated.",
            valueName: "url"))
    var turn: [String] = []

    @Option(name: .customLong("turn-user"), help: ArgumentHelp("The user name there.", valueName: "user"))
    var turnUser: String?

    @Option(name: .customLong("turn-password"), help: ArgumentHelp("The password there.", valueName: "password"))
    var turnPassword: String?

    @Option(
        help: ArgumentHelp(
            "The paths that may carry messages, of direct, turn, mesh and relay. (default: all)", valueName: "path,…"))
    var only: String?

    @Option(help: "The UDP port; 0 takes a free one.")
    var port: UInt16 = 0

    @Option(
        help: ArgumentHelp(
            "Where identity and conversations are kept. (default: nowhere, a new identity each time)",
            valueName: "directory"))
    var data: String?

    @Flag(name: .customLong("no-dht"), help: "Do not use the mainline DHT.")
    var noDHT = false

    @Option(
        name: .customLong("dht-bootstrap"),
        help: ArgumentHelp(
            "A node of the DHT to begin with. May be repeated. (default: the public ones)", valueName: "host:port"))
    var dhtBootstrap: [String] = []

    @Flag(name: .customLong("no-lan"), help: "Do not look for members on the local network.")
    var noLAN = false

    @Flag(name: .customLong("no-mail"), help: "Leave nothing for members that are away, and keep nothing for others.")
    var noMail = false

    @Flag(name: .customLong("no-forward"), help: "Hand on nothing between others who do not reach each other.")
    var noForward = false

    @Flag(help: "Speak JSON, one object a line.")
    var json = false

    func validate() throws {
        guard turn.isEmpty || (turnUser != nil && turnPassword != nil) else {
            throw ValidationError("--turn needs --turn-user and --turn-password")
        }
        if data?.isEmpty == true { throw ValidationError("--data: give a directory") }
        let invite: Invite
        do {
            invite = try Invite(swarm, secret: secret)
            try settings().validate()
        } catch {
            throw ValidationError(error.message)
        }
        let relays = invite.relays + relay
        if relays.isEmpty, invite.trackers.isEmpty, tracker.isEmpty, noLAN, noDHT, data == nil {
            throw ValidationError(
                "nobody can be found without a tracker, a relay, the DHT or the local network: give --tracker or --relay, or leave out --no-dht or --no-lan"
            )
        }
        if relays.isEmpty, try settings().paths == [.relay] {
            throw ValidationError("--only relay: give a --relay, or a magnet link that names one")
        }
    }

    /// The options as the library takes them.
    private func settings() throws(SwarmError) -> SwarmConfiguration {
        var configuration = SwarmConfiguration()
        configuration.name = name
        configuration.trackers = tracker
        configuration.relays = relay
        configuration.stunServers = stun
        configuration.turnServers = turn.map {
            TURNServerConfiguration(url: $0, username: turnUser ?? "", password: turnPassword ?? "")
        }
        configuration.usesLocalNetwork = !noLAN
        configuration.usesDHT = !noDHT
        configuration.forwards = !noForward
        configuration.dhtBootstrap = dhtBootstrap
        configuration.usesMail = !noMail
        configuration.port = port
        configuration.dataDirectory = data
        if let only {
            configuration.paths = []
            for word in only.split(separator: ",", omittingEmptySubsequences: false) {
                guard let path = PathKind(rawValue: String(word)) else {
                    throw SwarmError(
                        .invalidConfiguration, "--only \(only): the paths are direct, turn, mesh and relay")
                }
                configuration.paths.insert(path)
            }
        }
        return configuration
    }

    func run() async throws {
        // Before anything is opened: a signal that comes early counts too.
        let (endings, ending) = AsyncStream.makeStream(of: JoinEnding.self)
        let signals = TerminationSignals { ending.yield(.asked) }
        let output = ConsoleOutput()
        let swarm: Swarm
        do {
            swarm = try await Swarm.join(Invite(self.swarm, secret: secret), configuration: settings())
        } catch {
            throw CommandFailure(error)
        }
        let console: any JoinConsole =
            if json {
                JSONJoinConsole(swarm: swarm, output: output)
            } else {
                ChatConsole(swarm: swarm, output: output, name: name, swarmName: try Invite(self.swarm).name)
            }
        let session = JoinSession(swarm: swarm, console: console, output: output, ending: ending)
        let end = await session.run(until: endings)
        withExtendedLifetime(signals) {}
        if case .refused(let reason) = end { throw CommandFailure(.unavailable, reason) }
    }
}

extension CommandFailure {
    fileprivate init(_ error: SwarmError) {
        let status: Status =
            switch error.code {
            case .storage: .inputOutput
            case .invalidInvite, .invalidConfiguration: .usage
            default: .unavailable
            }
        self.init(status, error.message)
    }
}
