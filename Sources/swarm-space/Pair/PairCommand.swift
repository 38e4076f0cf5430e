import ArgumentParser
import DTLS
import ICE
import NIOCore
import NIOPosix
import SwarmBase
import WebRTC

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
        for server in stun where HostAndPort(server) == nil {
            throw ValidationError("--stun \(server): give a host and a port, such as stun.example.org:3478")
        }
        for server in turn where TURNLocation(server) == nil {
            throw ValidationError(
                "--turn \(server): give turn:host:port, turn:host:port?transport=tcp or turns:host:port")
        }
        guard turn.isEmpty || (turnUser != nil && turnPassword != nil) else {
            throw ValidationError("--turn needs --turn-user and --turn-password")
        }
        guard turn.isEmpty || turnCredentials != nil else {
            throw ValidationError("--turn-user: give 1 to 508 bytes")
        }
    }

    private var turnCredentials: TURNCredentials? {
        TURNCredentials(username: turnUser ?? "", password: turnPassword ?? "")
    }

    func run() async throws {
        let output = ConsoleOutput()
        var options = PairOptions(isAnswering: answer, isEchoing: echo, port: port)
        options.stunServers = await resolve(stun.compactMap { HostAndPort($0) }, output)
        if let credentials = turnCredentials {
            options.turnServers = await locate(turn.compactMap { TURNLocation($0) }, credentials, output)
        }
        let certificate = try DTLSCertificate()
        let console: any PairConsole = json ? JSONPairConsole(output: output) : TextPairConsole(output: output)
        console.begin(isAnswering: answer)
        // Never shut down: the thread that reads standard input may still have a line for it when the program ends.
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        do {
            try await Self.run(options, certificate, console, on: loop)
        } catch {
            output.note("swarm-space: \(error); choose another --port")
            output.flush()
            throw ExitCode(69)
        }
        output.flush()
    }

    private static func run(
        _ options: PairOptions, _ certificate: DTLSCertificate, _ console: any PairConsole, on loop: any EventLoop
    ) async throws {
        let session = try await loop.submit {
            NIOLoopBound(
                PairSession(eventLoop: loop, options: options, certificate: certificate, report: console.report),
                eventLoop: loop)
        }.get()
        let signals = TerminationSignals { loop.execute { session.value.close() } }
        ConsoleInput(maximumLineLength: PairInstruction.maximumLineLength).start { line in
            let instruction: PairInstruction
            do throws(PairInputError) {
                instruction = try console.instruction(line)
            } catch {
                loop.execute { console.report(.error(error.message)) }
                return
            }
            // The reader waits, so that what is read faster than it can be sent stays in the pipe.
            try? loop.flatSubmit { session.value.handle(instruction) }.wait()
        } onEnd: {
            loop.execute { session.value.closeLingering() }
        }
        try await loop.flatSubmit { session.value.start() }.get()
        withExtendedLifetime(signals) {}
    }

    private func resolve(_ servers: [HostAndPort], _ output: ConsoleOutput) async -> [TransportAddress] {
        var addresses: [TransportAddress] = []
        for server in servers {
            if let address = await resolve(server.host, port: server.port) {
                addresses.append(address)
            } else {
                output.note("swarm-space: cannot resolve \(server.host): going on without this STUN server")
            }
        }
        return addresses
    }

    private func locate(
        _ locations: [TURNLocation], _ credentials: TURNCredentials, _ output: ConsoleOutput
    ) async -> [PairTURNServer] {
        var servers: [PairTURNServer] = []
        for location in locations {
            guard let address = await resolve(location.host, port: location.port) else {
                output.note("swarm-space: cannot resolve \(location.host): going on without this TURN server")
                continue
            }
            let server = TURNServer(
                address: address, transport: location.carrier == .udp ? .udp : .stream, credentials: credentials,
                families: .both)
            servers.append(PairTURNServer(location: location, server: server))
        }
        return servers
    }

    private func resolve(_ host: String, port: Int) async -> TransportAddress? {
        let resolved = try? await NIOThreadPool.singleton.runIfActive {
            try SocketAddress.makeAddressResolvingHost(host, port: port)
        }
        guard let address = resolved?.ipAddress.flatMap({ IPAddress($0) }), let port = UInt16(exactly: port) else {
            return nil
        }
        return TransportAddress(address, port: port)
    }
}

/// `host:port`, where an IPv6 address is in brackets.
struct HostAndPort: Equatable {
    var host: String
    /// 1…65535.
    var port: Int

    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port != 0
        else { return nil }
        var host = text[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if isBracketed { host = host.dropFirst().dropLast() }
        guard !host.isEmpty, isBracketed || !host.contains(":") else { return nil }
        self.host = String(host)
        self.port = Int(port)
    }
}
