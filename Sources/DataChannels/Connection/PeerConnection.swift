import NIOCore
import SwarmBase
import SwarmTransport
import WebRTC

/// A connection to one peer, for data channels.
///
/// One side calls ``createOffer()``, the other ``accept(offer:)``, and the first ``accept(answer:)`` with what that gave.
/// Candidates that are found afterwards come from ``candidates``, for the peer's ``addCandidate(_:)``.
public actor PeerConnection {
    /// The endpoint whose port it uses.
    public nonisolated let endpoint: Endpoint
    /// How far the connection is, each time that it changes; it ends after `closed`. To be read in one place.
    public nonisolated let states: ConnectionStates
    /// Channels that the peer opens. To be read in one place; when more than 1,024 wait, further ones are closed.
    public nonisolated var channels: IncomingChannels { IncomingChannels(connection: self, base: reports.channels) }
    /// Candidates that were found after the connection was made; one with an empty line says that no more will follow.
    public nonisolated let candidates: FoundCandidates

    private nonisolated let reports: ConnectionReports
    private let eventLoop: any EventLoop
    private let bound: NIOLoopBound<Connection>
    var connection: Connection { bound.value }

    /// The actor runs on the event loop of its endpoint.
    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        // The loop outlives the actor, which holds it.
        unsafe eventLoop.executor.asUnownedSerialExecutor()
    }

    init(
        _ connection: NIOLoopBound<Connection>, reports: ConnectionReports, endpoint: Endpoint,
        eventLoop: any EventLoop
    ) {
        self.endpoint = endpoint
        self.eventLoop = eventLoop
        self.reports = reports
        states = ConnectionStates(base: reports.states)
        candidates = FoundCandidates(base: reports.candidates)
        bound = connection
    }

    isolated deinit {
        // Whoever lets go of a connection and of its channels has closed it.
        _ = connection.close(lingering: false)
    }

    private var now: Instant { Instant(eventLoop.now) }

    // MARK: Negotiation

    /// Makes an offer, which is in force at once; an earlier one that was not answered is void.
    public func createOffer() throws(DataChannelsError) -> SessionDescription { try offer(restart: false) }

    /// Makes an offer that asks for an ICE restart: new paths are looked for, while the old one carries on.
    public func restartICE() throws(DataChannelsError) -> SessionDescription { try offer(restart: true) }

    private func offer(restart: Bool) throws(DataChannelsError) -> SessionDescription {
        defer { connection.hasNegotiated() }
        do { return SessionDescription(try connection.core.createOffer(restart: restart, now: now)) } catch {
            throw DataChannelsError(error)
        }
    }

    /// Takes the peer's offer and makes the answer. A further offer is a restart or other change by the peer.
    public func accept(offer: SessionDescription) throws(DataChannelsError) -> SessionDescription {
        defer { connection.hasNegotiated() }
        let description = try offer.core()
        do { return SessionDescription(try connection.core.accept(offer: description, now: now)) } catch {
            throw DataChannelsError(error)
        }
    }

    /// Takes the peer's answer to the last offer.
    public func accept(answer: SessionDescription) throws(DataChannelsError) {
        defer { connection.hasNegotiated() }
        let description = try answer.core()
        do { try connection.core.accept(answer: description, now: now) } catch { throw DataChannelsError(error) }
    }

    /// Takes a candidate that the peer has found later. What cannot be used (TCP, names) is ignored.
    public func addCandidate(_ candidate: ICECandidate) {
        defer { connection.touch() }
        connection.core.addRemoteCandidate(candidate.candidate, ufrag: candidate.usernameFragment, now: now)
    }

    /// What this side said last.
    public var localDescription: SessionDescription? { connection.core.localDescription.map(SessionDescription.init) }

    /// What the peer said last.
    public var remoteDescription: SessionDescription? { connection.core.remoteDescription.map(SessionDescription.init) }

    // MARK: State

    /// How far the connection is.
    public var state: ConnectionState { ConnectionState(connection.core.state) }

    /// Why it is closed, in words; `nil` before.
    public var closeReason: String? {
        switch connection.core.closeReason {
        case nil: nil
        case .local: "it was closed here"
        case .remote: "the peer has closed it"
        case .pathLost: "there is no path to the peer"
        case .dtls(let error): "DTLS: \(error)"
        case .sctp(let reason): "SCTP: \(reason)"
        }
    }

    /// The path's round-trip time, smoothed; `nil` while there is none.
    public var roundTripTime: Duration? { connection.core.roundTripTime }

    /// Whether the path passes a TURN server of either side.
    public var isRelayed: Bool { connection.core.selectedPath?.isRelayed ?? false }

    /// What is known of the connection: paths, traffic, channels.
    public func statistics() -> StatisticsReport { connection.statistics(certificate: endpoint.certificate) }

    // MARK: Channels

    /// Opens a channel. Messages may be sent on it at once: they wait until the connection is there.
    public func openChannel(
        _ label: String, _ options: DataChannelOptions = DataChannelOptions()
    ) throws(DataChannelsError) -> DataChannel {
        DataChannel(link: try connection.openChannel(label: label, options: options), connection: self)
    }

    // MARK: The end

    /// Ends the connection and all its channels.
    ///
    /// - Parameter lingering: first let the peer acknowledge what was sent, for up to a second.
    public func close(lingering: Bool = false) async {
        try? await connection.close(lingering: lingering).get()
    }
}

/// How far a connection is, each time that it changes.
public struct ConnectionStates: AsyncSequence, Sendable {
    fileprivate let base: AsyncStream<ConnectionState>

    /// Gives out the states.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate var base: AsyncStream<ConnectionState>.Iterator

        /// The next state; `nil` after `closed`.
        public mutating func next(isolation actor: isolated (any Actor)? = #isolation) async -> ConnectionState? {
            await base.next(isolation: actor)
        }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(base: base.makeAsyncIterator()) }
}

/// Candidates of ours, as they are found.
public struct FoundCandidates: AsyncSequence, Sendable {
    fileprivate let base: AsyncStream<ICECandidate>

    /// Gives out the candidates.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate var base: AsyncStream<ICECandidate>.Iterator

        /// The next candidate; `nil` when the connection is closed.
        public mutating func next(isolation actor: isolated (any Actor)? = #isolation) async -> ICECandidate? {
            await base.next(isolation: actor)
        }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(base: base.makeAsyncIterator()) }
}

/// Channels that the peer opens.
public struct IncomingChannels: AsyncSequence, Sendable {
    fileprivate let connection: PeerConnection
    fileprivate let base: AsyncStream<ChannelLink>

    /// Gives out the channels.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let connection: PeerConnection
        fileprivate var base: AsyncStream<ChannelLink>.Iterator

        /// The next channel; `nil` when the connection is closed.
        public mutating func next(isolation actor: isolated (any Actor)? = #isolation) async -> DataChannel? {
            await base.next(isolation: actor).map { DataChannel(link: $0, connection: connection) }
        }
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(connection: connection, base: base.makeAsyncIterator())
    }
}
