import ICE
import NIOCore
import NIOPosix
import SwarmBase
import SwarmTransport

/// One UDP port with as many peer connections as one likes.
///
/// ```swift
/// let endpoint = try await Endpoint.open()
/// let connection = try await endpoint.connect()
/// let channel = try await connection.openChannel("chat")
/// send(try await connection.createOffer())           // by whatever way there is
/// try await connection.accept(answer: receive())
/// try await channel.send("hello")
/// for await message in channel.messages { print(message) }
/// ```
///
/// An actor on the event loop of its port, like the connections: a call costs one change of threads at most. Whoever lets go
/// of an endpoint and of all its connections has closed them.
public actor Endpoint {
    /// The number of the UDP port.
    public nonisolated let port: UInt16
    /// What peers know the endpoint by.
    public nonisolated let certificate: EndpointCertificate
    /// What happens to the endpoint; to be read in one place.
    public nonisolated let events: EndpointEvents
    /// Runs tasks on the event loop of the port: a task that answers every message at once is quickest there, as nothing
    /// changes threads. It must not wait or compute for long.
    public nonisolated let taskExecutor: any TaskExecutor

    private let eventLoop: any EventLoop
    private let bound: NIOLoopBound<Switchboard>
    private var switchboard: Switchboard { bound.value }

    /// The actor runs on the event loop.
    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        // The loop outlives the actor, which holds it.
        unsafe eventLoop.executor.asUnownedSerialExecutor()
    }

    /// Binds a UDP port, and begins to find out under which addresses it can be reached.
    ///
    /// - Throws: ``DataChannelsError/invalidConfiguration(_:)``, ``DataChannelsError/cannotBind(_:)``.
    public static func open(
        _ configuration: EndpointConfiguration = EndpointConfiguration()
    ) async throws(DataChannelsError) -> Endpoint {
        let servers = try configuration.servers()
        let certificate: EndpointCertificate
        if let given = configuration.certificate {
            certificate = given
        } else {
            certificate = try EndpointCertificate()
        }
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let events = EndpointEvents()
        let interrupt = PollingInterrupt()
        do {
            let started = try await loop.flatSubmit {
                let switchboard = Switchboard(
                    eventLoop: loop, configuration: configuration, certificate: certificate,
                    pollingInterrupt: interrupt)
                let bound = NIOLoopBound(switchboard, eventLoop: loop)
                return switchboard.start(servers: servers, events: events).map { (bound, $0) }
            }.get()
            return Endpoint(
                switchboard: started.0, port: started.1, eventLoop: loop, certificate: certificate, events: events,
                pollingInterrupt: interrupt)
        } catch {
            throw .cannotBind("\(error)")
        }
    }

    private init(
        switchboard: NIOLoopBound<Switchboard>, port: UInt16, eventLoop: any EventLoop,
        certificate: EndpointCertificate, events: EndpointEvents, pollingInterrupt: PollingInterrupt
    ) {
        self.port = port
        self.eventLoop = eventLoop
        self.certificate = certificate
        self.events = events
        taskExecutor = LoopTaskExecutor(eventLoop, pollingInterrupt: pollingInterrupt)
        bound = switchboard
    }

    isolated deinit {
        _ = switchboard.close()
        events.finish()
    }

    /// Makes a connection. It does nothing until ``PeerConnection/createOffer()`` or ``PeerConnection/accept(offer:)``.
    public func connect() throws(DataChannelsError) -> PeerConnection {
        let connection = try switchboard.makeConnection()
        return PeerConnection(
            NIOLoopBound(connection, eventLoop: eventLoop), reports: connection.reports, endpoint: self,
            eventLoop: eventLoop)
    }

    /// Waits until every STUN and TURN server has answered, has failed, or has had three seconds: descriptions made after it
    /// carry all candidates, for those who cannot trickle them.
    public func gathered() async {
        try? await switchboard.candidates?.completion().get()
    }

    /// How many connections there are.
    public var connectionCount: Int { switchboard.connections.count }

    /// Closes all connections and the port. It may be called twice.
    public func close() async {
        try? await switchboard.close().get()
        events.finish()
    }

    /// What passed through the port.
    public func statistics() -> EndpointStatistics { EndpointStatistics(switchboard.counters) }
}

extension EndpointConfiguration {
    /// Checks that it makes sense.
    ///
    /// - Throws: ``DataChannelsError/invalidConfiguration(_:)``.
    public func validate() throws(DataChannelsError) { _ = try servers() }

    /// The servers, understood; and whether the rest makes sense.
    func servers() throws(DataChannelsError) -> [CandidateGatherer.Server] {
        if let host, IPAddress(host) == nil { throw .invalidConfiguration("\(host) is no IP address") }
        guard maximumMessageSize > 0, maximumMessageSize < 1 << 31 else {
            throw .invalidConfiguration("the longest message is \(maximumMessageSize) bytes")
        }
        var servers: [CandidateGatherer.Server] = []
        for uri in stunServers {
            guard let location = STUNLocation(uri) else { throw .invalidConfiguration("\(uri) is no STUN server") }
            servers.append(.stun(location))
        }
        for server in turnServers {
            guard let location = TURNLocation(server.uri) else {
                throw .invalidConfiguration("\(server.uri) is no TURN server")
            }
            guard let credentials = TURNCredentials(username: server.username, password: server.password) else {
                throw .invalidConfiguration("the user name for \(server.uri) has not 1 to 508 bytes")
            }
            servers.append(.turn(location, credentials))
        }
        return servers
    }
}
