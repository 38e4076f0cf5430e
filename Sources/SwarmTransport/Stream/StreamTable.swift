public import NIOCore

/// TCP and TLS connections by name, for a core that speaks of its connections by a name of its own and asks its owner to
/// open, feed and close them: a TURN client, for one.
///
/// Confined to its event loop. None of its callbacks comes from within a call to it.
public final class StreamTable<ID: Hashable> {
    /// Called once for a connection when bytes may be sent.
    public var onOpen: ((ID) -> Void)?
    /// Called for bytes as they come, cut anywhere.
    public var onBytes: ((ID, [UInt8]) -> Void)?
    /// Called when everything that has come on a connection by now was handed out.
    public var onReadComplete: (() -> Void)?
    /// Called once for a connection that could not be made or has ended, except after ``close(_:)``.
    public var onClose: ((ID) -> Void)?
    /// Bytes that may wait on a connection: what comes on top is left out. The default is what a relayed video call makes
    /// in a second or so; later than that a datagram is worth nothing.
    public var maximumBacklog = 1 << 20
    /// How many pieces were left out because of that.
    public private(set) var drops = 0

    private let eventLoop: any EventLoop
    private var streams: [ID: StreamConnection] = [:]

    /// A table without connections.
    public init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// How many connections there are, those that are being made included.
    public var count: Int { streams.count }

    /// Whether there is a connection of this name, open or being made.
    public func contains(_ id: ID) -> Bool { streams[id] != nil }

    /// Dials; one of the same name is closed before.
    ///
    /// - Parameters:
    ///   - host: an address or a name; with TLS also what the certificate must name.
    ///   - usesTLS: whether to speak TLS, trusting whom the system trusts.
    public func open(_ id: ID, host: String, port: UInt16, usesTLS: Bool = false) {
        var tls: ClientTLS?
        if usesTLS {
            // Reading the system's roots takes long, but it is done once.
            switch ClientTLS.system {
            case .success(let system): tls = system
            case .failure:
                close(id)
                let stream = StreamConnection(eventLoop: eventLoop)
                streams[id] = stream
                eventLoop.assumeIsolated().execute { [weak self] in self?.ended(id, stream) }
                return
            }
        }
        open(id, host: host, port: port, tls: tls)
    }

    /// The same, trusting whom the caller says.
    func open(_ id: ID, host: String, port: UInt16, tls: ClientTLS?) {
        eventLoop.assertInEventLoop()
        close(id)
        let stream = StreamConnection(eventLoop: eventLoop)
        streams[id] = stream
        stream.onOpen = { [weak self] in self?.onOpen?(id) }
        stream.onBytes = { [weak self] bytes in self?.onBytes?(id, bytes) }
        stream.onReadComplete = { [weak self] in self?.onReadComplete?() }
        stream.onClose = { [weak self, weak stream] in
            if let stream { self?.ended(id, stream) }
        }
        stream.open(host: host, port: Int(port), tls: tls)
    }

    /// Sends bytes: all of them or, when too many wait already or there is no open connection of this name, none.
    public func send(_ bytes: [UInt8], on id: ID) {
        eventLoop.assertInEventLoop()
        guard let stream = streams[id] else { return }
        guard stream.bufferedBytes < maximumBacklog else {
            drops += 1
            return
        }
        stream.send(bytes)
    }

    /// Ends a connection; nothing is called for it any more.
    public func close(_ id: ID) {
        eventLoop.assertInEventLoop()
        streams.removeValue(forKey: id)?.close()
    }

    /// Ends all of them.
    public func closeAll() {
        for stream in streams.values { stream.close() }
        streams = [:]
    }

    private func ended(_ id: ID, _ stream: StreamConnection) {
        // It may have been replaced.
        guard streams[id] === stream else { return }
        streams[id] = nil
        onClose?(id)
    }
}
