import Gun
public import Logging
import NIOCore
import NIOPosix
import SwarmBase
import SwarmTransport
import Tracker

/// Tracker, GUN relay, STUN server and web page in one process on one port number.
///
/// Nobody needs one; anybody can run one. `/gun` is the GUN relay, any other WebSocket the WebTorrent tracker, `/` the
/// page, `/metrics` Prometheus text, `/healthz` the health check; the UDP port of the same number answers STUN binding
/// requests (RFC 8489).
public final class Supernode: Sendable {
    /// What it was made with.
    public let configuration: SupernodeConfiguration
    private let eventLoop: any EventLoop
    private let logger: Logger
    private let node: NIOLoopBoundBox<SupernodeLoop?>
    private let wasUsed: NIOLoopBoundBox<Bool>

    /// Makes a supernode that serves nothing yet.
    public init(
        configuration: SupernodeConfiguration = .init(), logger: Logger = Logger(label: "swarm-space.supernode")
    ) {
        self.configuration = configuration
        self.logger = logger
        eventLoop = MultiThreadedEventLoopGroup.singleton.next()
        node = .makeEmptyBox(valueType: SupernodeLoop.self, eventLoop: eventLoop)
        wasUsed = .makeBoxSendingValue(false, eventLoop: eventLoop)
    }

    /// Opens the store and the ports.
    ///
    /// - Returns: where it is reached.
    /// - Throws: ``SupernodeError``.
    public func start() async throws -> SupernodeEndpoints {
        let first = try await eventLoop.submit { [wasUsed] in
            defer { wasUsed.value = true }
            return !wasUsed.value
        }.get()
        guard first else { throw SupernodeError.alreadyUsed }
        let configuration = configuration
        let (store, tls) = try await NIOThreadPool.singleton.runIfActive { try Self.open(configuration) }
        do {
            let log = try await Self.changeLog(store, configuration)
            let savedTable = configuration.dht == nil ? [] : await KeptDHTTable.load(from: store)
            let port = try await eventLoop.flatSubmit { [eventLoop, logger, node] in
                let loop = SupernodeLoop(
                    eventLoop: eventLoop, configuration: configuration, store: store, log: log, savedTable: savedTable,
                    tls: tls, logger: logger)
                node.value = loop
                return loop.start()
            }.get()
            let endpoints = Self.endpoints(configuration, port: port)
            logger.info("serving", metadata: ["http": "\(endpoints.http)", "udp": "\(endpoints.udp)"])
            return endpoints
        } catch {
            try? await NIOThreadPool.singleton.runIfActive { store?.close() }
            throw error
        }
    }

    /// Takes leave of everybody, writes what is not yet written and closes the ports, all within two seconds.
    ///
    /// Never fails, and may be called twice.
    public func stop() async {
        let store = try? await eventLoop.flatSubmit { [eventLoop, node] () -> EventLoopFuture<SQLiteStore?> in
            guard let loop = node.value else { return eventLoop.makeSucceededFuture(nil) }
            node.value = nil
            return loop.stop()
        }.get()
        guard let store else { return }
        try? await NIOThreadPool.singleton.runIfActive { store.close() }
        logger.info("stopped")
    }

    /// What it is doing now; `nil` when it does not run.
    public var status: SupernodeStatus? {
        get async { try? await eventLoop.submit { [node] in node.value?.status }.get() }
    }

    private static func open(_ configuration: SupernodeConfiguration) throws(SupernodeError) -> (
        SQLiteStore?, ServerTLS?
    ) {
        var tls: ServerTLS? = nil
        if let files = configuration.tls {
            do throws(TLSSetupError) {
                tls = try ServerTLS(certificateFile: files.certificateFile, keyFile: files.keyFile)
            } catch { throw .tls(error) }
        }
        guard let path = configuration.dataDirectory else { return (nil, tls) }
        let directory: DataDirectory
        do throws(FileError) { directory = try DataDirectory(path: path) } catch { throw .directory(error) }
        do throws(StoreError) {
            return (try directory.openStore(configuration: configuration.store), tls)
        } catch { throw .store(error) }
    }

    private static func changeLog(
        _ store: SQLiteStore?, _ configuration: SupernodeConfiguration
    ) async throws(SupernodeError) -> ChangeLog? {
        guard let store else { return nil }
        do throws(StoreError) {
            return try await FederationMarks.changeLog(in: store, peers: configuration.peers)
        } catch { throw .store(error) }
    }

    private static func endpoints(_ configuration: SupernodeConfiguration, port: UInt16) -> SupernodeEndpoints {
        var name = configuration.publicName
        if name == nil {
            let bound = configuration.host.flatMap { $0.isUnspecified ? nil : $0 }
            let local = LocalAddresses.current.filter { configuration.host?.isIPv6 ?? true || !$0.isIPv6 }
            let address = bound ?? local.first { !$0.isIPv6 } ?? local.first ?? .v4(0x7f00_0001)
            name = address.isIPv6 ? "[\(address)]" : address.description
        }
        let authority = "\(name ?? "localhost"):\(port)"
        let secure = configuration.tls == nil ? "" : "s"
        return SupernodeEndpoints(
            port: port, http: "http\(secure)://\(authority)/", gun: "ws\(secure)://\(authority)/gun",
            tracker: "ws\(secure)://\(authority)/", udp: authority)
    }
}
