import ArgumentParser
import Logging
import Supernode
import SwarmBase
import SwarmTransport

/// `swarm-space serve`: tracker, GUN relay, STUN server and page on one port number.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Help others meet: tracker, GUN relay, STUN server and web page on one port number.",
        discussion: """
            TCP: /gun is the GUN relay, any other WebSocket the WebTorrent tracker, / the page, /metrics Prometheus \
            text, /healthz the health check, /status the operator's view. UDP: STUN. A supernode is a member of no \
            swarm and reads nothing of what members seal. SIGINT and SIGTERM end it cleanly.

            EXAMPLES
              swarm-space serve                     port 7750, all in memory
              swarm-space serve --data DIRECTORY    the graph outlives a restart
              swarm-space serve --peer GUN-URL      federate with that relay
              swarm-space serve --memory 64         take no more than 64 MiB of memory
              swarm-space serve --port 443 --public-name node.example.org \\
                --tls-cert chain.pem --tls-key key.pem
            """)

    @Option(
        help: ArgumentHelp("The address to serve on. (default: every address, IPv4 and IPv6)", valueName: "address"))
    var host: String?

    @Option(help: "The TCP port, and the UDP port of the same number; 0 takes a free one.")
    var port: UInt16 = 7750

    @Option(help: ArgumentHelp("Where the graph is kept. (default: in memory)", valueName: "directory"))
    var data: String?

    @Option(
        help: ArgumentHelp(
            """
            Another GUN relay to keep a link to: it is told all that is written here, and asked for what is not here. \
            May be repeated.
            """, valueName: "gun-url"))
    var peer: [String] = []

    @Option(
        help: ArgumentHelp(
            """
            The memory that the process may take, in MiB, 64 or more; what does not fit is on disk, or gone without --data.
            """, valueName: "mib"))
    var memory = 512

    @Option(help: ArgumentHelp("Connections at a time from one address; loopback is free.", valueName: "count"))
    var connectionsPerAddress = 512

    @Option(
        help: ArgumentHelp(
            "GUN messages a second from one address; what comes faster is read later.", valueName: "count"))
    var messagesPerAddress = 50_000

    @Option(
        help: ArgumentHelp(
            "What one address may write an hour, in MB, beside a reserve of a gigabyte; more is refused.",
            valueName: "mb"))
    var writtenPerAddress = 14_400

    @Option(help: ArgumentHelp("The certificate chain for wss: and https:, PEM, leaf first.", valueName: "file"))
    var tlsCert: String?

    @Option(help: ArgumentHelp("The certificate's private key, PEM.", valueName: "file"))
    var tlsKey: String?

    @Option(
        help: ArgumentHelp(
            "The host name in the URLs that are printed. (default: an address of this machine)", valueName: "name"))
    var publicName: String?

    @Option(
        help: ArgumentHelp(
            "What shows the operator's view, /status, to others than this host. (default: nothing does)",
            valueName: "token"))
    var statusToken: String?

    @Flag(name: .customLong("no-dht"), help: "Serve no DHT node; this version has none.")
    var noDHT = false

    @Flag(help: "Print the ready line as one JSON object.")
    var json = false

    @Flag(name: .shortAndLong, help: "Log what happens to standard error.")
    var verbose = false

    func validate() throws {
        if let host, IPAddress(host) == nil {
            throw ValidationError("--host \(host): give an address of this machine, such as 127.0.0.1")
        }
        for url in peer where WebSocketURL(url) == nil {
            throw ValidationError("--peer \(url): give the URL of a GUN relay, such as wss://relay.example/gun")
        }
        guard (64...1 << 20).contains(memory) else { throw ValidationError("--memory: give 64 or more") }
        guard connectionsPerAddress > 0, messagesPerAddress > 0, writtenPerAddress > 0 else {
            throw ValidationError(
                "--connections-per-address, --messages-per-address, --written-per-address: give 1 or more")
        }
        if (tlsCert == nil) != (tlsKey == nil) {
            throw ValidationError("TLS needs both --tls-cert and --tls-key")
        }
        // The name is checked as a part of the URLs it will stand in.
        if let publicName, WebSocketURL("ws://\(publicName):1/")?.host != publicName.lowercased() {
            throw ValidationError("--public-name \(publicName): give a host name, such as node.example.org")
        }
        if statusToken?.isEmpty == true { throw ValidationError("--status-token: give a token, a long random one") }
        if data?.isEmpty == true { throw ValidationError("--data: give a directory") }
    }

    func run() async throws {
        // Before the ports are taken: whoever reads the ready line may send a signal at once.
        let (ends, end) = AsyncStream.makeStream(of: Void.self)
        let signals = TerminationSignals { end.finish() }
        let output = ConsoleOutput()
        let supernode = Supernode(configuration: configuration, logger: logger)
        let endpoints: SupernodeEndpoints
        do {
            endpoints = try await supernode.start()
        } catch {
            throw failure(error)
        }
        let report = ServeReport(endpoints: endpoints, host: host, data: data)
        if json { output.line(report.json) } else { output.line(report.text) }
        for await _ in ends {}
        await supernode.stop()
        output.flush()
        withExtendedLifetime(signals) {}
    }

    private var configuration: SupernodeConfiguration {
        var configuration = SupernodeConfiguration(
            host: host.flatMap { IPAddress($0) }, port: port, dataDirectory: data)
        configuration.peers = peer.compactMap { WebSocketURL($0) }
        configuration.publicName = publicName
        configuration.setMemory(memory << 20)
        configuration.limitAddresses(
            connections: connectionsPerAddress, messagesPerSecond: messagesPerAddress,
            writtenMegabytesPerHour: writtenPerAddress)
        configuration.statusToken = statusToken
        if let tlsCert, let tlsKey { configuration.tls = (tlsCert, tlsKey) }
        return configuration
    }

    /// Standard output belongs to the ready line.
    private var logger: Logger {
        var logger = Logger(label: "supernode") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = verbose ? .debug : .error
        return logger
    }

    private func failure(_ error: any Error) -> CommandFailure {
        guard let error = error as? SupernodeError else {
            return CommandFailure(.unavailable, "cannot serve: \(error)")
        }
        switch error {
        case .portInUse:
            return CommandFailure(.unavailable, "\(error)")
        case .cannotBind:
            return CommandFailure(
                .unavailable,
                "\(error): choose a --host that this machine has, and a --port above 1023 unless you are root")
        case .tls:
            return CommandFailure(.usage, "\(error): check --tls-cert and --tls-key")
        case .directory, .store:
            return CommandFailure(.inputOutput, "\(error): choose another directory with --data")
        case .alreadyUsed:
            return CommandFailure(.unavailable, "\(error)")
        }
    }
}
