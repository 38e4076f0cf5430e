import ArgumentParser
import DataChannels

/// `swarm-space pair`: one connection, signaled by hand.
struct PairCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pair",
        abstract: "Connect two peers by carrying an offer and an answer by hand.",
        discussion: """
            Without --answer an offer is printed and the answer is read; with --answer it is the other way round. \
            Afterwards each line that is typed is a message. With --json, input and output are one JSON object a line.
            """)

    @Flag(help: "Wait for an offer instead of making one.")
    var answer = false

    @Flag(help: "Send every message back.")
    var echo = false

    @Option(name: .long, help: ArgumentHelp("A STUN server to ask for our outside address.", valueName: "host:port"))
    var stun: [String] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            "A TURN server to be reached through: turn:host:port, with ?transport=tcp, or turns:.", valueName: "url"))
    var turn: [String] = []

    @Option(name: .long, help: ArgumentHelp("The user name at the TURN servers.", valueName: "name"))
    var turnUser: String?

    @Option(name: .long, help: ArgumentHelp("The password at the TURN servers.", valueName: "password"))
    var turnPassword: String?

    @Option(help: "The UDP port; 0 takes a free one.")
    var port: UInt16 = 0

    @Flag(help: "Speak JSON, one object a line.")
    var json = false

    func validate() throws {
        for server in stun where !isUsable({ $0.stunServers = ["stun:\(server)"] }) {
            throw ValidationError("--stun \(server): give a host and a port, such as stun.example.org:3478")
        }
        for server in turn
        where !isUsable({ $0.turnServers = [TURNServer(uri: server, username: "user", password: "password")] }) {
            throw ValidationError(
                "--turn \(server): give turn:host:port, turn:host:port?transport=tcp or turns:host:port")
        }
        guard turn.isEmpty || (turnUser != nil && turnPassword != nil) else {
            throw ValidationError("--turn needs --turn-user and --turn-password")
        }
        guard isUsable({ $0.turnServers = turnServers }) else {
            throw ValidationError("--turn-user: give 1 to 508 bytes")
        }
    }

    private func isUsable(_ change: (inout EndpointConfiguration) -> Void) -> Bool {
        var configuration = EndpointConfiguration()
        change(&configuration)
        return (try? configuration.validate()) != nil
    }

    private var turnServers: [TURNServer] {
        turn.map { TURNServer(uri: $0, username: turnUser ?? "", password: turnPassword ?? "") }
    }

    func run() async throws {
        let output = ConsoleOutput()
        var options = PairOptions(isAnswering: answer, isEchoing: echo)
        options.endpoint.port = port
        options.endpoint.stunServers = stun.map { "stun:\($0)" }
        options.endpoint.turnServers = turnServers
        let console: any PairConsole = json ? JSONPairConsole(output: output) : TextPairConsole(output: output)
        console.begin(isAnswering: answer)
        do {
            try await Self.run(options, console)
        } catch {
            output.note("swarm-space: \(error); choose another --port")
            output.flush()
            throw ExitCode(69)
        }
        output.flush()
    }

    private static func run(_ options: PairOptions, _ console: any PairConsole) async throws(DataChannelsError) {
        let session = try await PairSession.open(options) { console.report($0) }
        let signals = TerminationSignals { Task { await session.close(lingering: false) } }
        let instructions = PairInstructions()
        ConsoleInput(maximumLineLength: PairInstruction.maximumLineLength).start { line in
            do throws(PairInputError) {
                instructions.add(try console.instruction(line))
            } catch {
                console.report(.error(error.message))
            }
        } onEnd: {
            Task { await session.close(lingering: true) }
        }
        await session.run(instructions)
        withExtendedLifetime(signals) {}
    }
}
