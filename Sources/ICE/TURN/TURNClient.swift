public import SwarmBase

/// The node's TURN client (RFC 8656): one allocation on each server for all sessions, which share it.
///
/// A relayed address is to a session like another socket: it sends a `Transmit` whose `relay` is that address through
/// ``send(_:for:now:)``, and gets what peers send there from ``pollReceived()``. A server is used while any user has
/// retained it; permissions and channels are kept for the users that send to a peer, and end with
/// ``forget(_:)`` of the last.
///
/// Sans-IO: after every command or `handle…` the owner drains ``pollTransmit()``, ``pollStream()``, ``pollReceived()``
/// and ``pollEvent()``, then reads ``nextTimeout``. UDP servers are reached over the node's shared socket; for the others the owner opens the
/// connections that the events ask for, and carries bytes.
public struct TURNClient: Sendable {
    private let configuration: TURNClientConfiguration
    private var entropy: Entropy
    private var allocations: [TURNServerID: TURNAllocation] = [:]
    private var order: [TURNServerID] = []
    /// Servers that are given up once their release is done.
    private var removed: Set<TURNServerID> = []
    private var relays: [TransportAddress: TURNServerID] = [:]
    private var nextNumber = 0
    private var transmits = FIFO<Transmit>()
    private var streams = FIFO<(server: TURNServerID, bytes: [UInt8])>()
    private var received = FIFO<TURNReceived>()
    private var events = FIFO<TURNEvent>()
    /// When ``handleTimeout(now:)`` is due.
    public private(set) var nextTimeout: Instant?

    /// A client without servers.
    public init(configuration: TURNClientConfiguration = .init(), entropy: Entropy) {
        self.configuration = configuration
        self.entropy = entropy
    }

    // MARK: Servers and users

    /// Adds a server; nothing is sent before somebody retains it.
    ///
    /// - Returns: its name; `nil` when there are too many, or when there is one with this address: the server could not
    ///   tell two allocations over one socket apart.
    public mutating func addServer(_ server: TURNServer) -> TURNServerID? {
        let isKnown = allocations.values.contains {
            $0.server.address == server.address && $0.server.transport == server.transport && server.transport == .udp
        }
        guard allocations.count < configuration.maximumServers, server.address.port != 0, !isKnown else { return nil }
        let id = TURNServerID(number: nextNumber)
        nextNumber += 1
        order.append(id)
        allocations[id] = TURNAllocation(
            id: id, server: server, configuration: configuration, entropy: entropy.fork())
        return id
    }

    /// Gives back the allocation on a server, and forgets the server.
    public mutating func removeServer(_ id: TURNServerID, now: Instant) {
        update(id) { allocation in
            for user in allocation.users { allocation.release(user, now) }
        }
        guard let phase = allocations[id]?.phase else { return }
        if phase == .idle { remove(id) } else { removed.insert(id) }
    }

    /// The servers, in the order in which they were added.
    public var servers: [TURNServerID] { order }

    /// The addresses that servers lend now.
    public func relayedAddresses(of id: TURNServerID) -> [TransportAddress] { allocations[id]?.relayed ?? [] }

    /// Whether this is an address that a server lends.
    public func isRelay(_ address: TransportAddress) -> Bool { relays[address] != nil }

    /// Says that a user wants the allocation on a server: the first one makes it.
    public mutating func retain(_ id: TURNServerID, by user: TURNUser, now: Instant) {
        guard !removed.contains(id) else { return }
        update(id) { $0.retain(user, now) }
    }

    /// Says that a user wants it no longer: the last one gives it back (Refresh with lifetime 0).
    public mutating func release(_ id: TURNServerID, by user: TURNUser, now: Instant) {
        update(id) { $0.release(user, now) }
    }

    /// A session is over: it no longer wants any allocation, nor any peer.
    public mutating func forget(_ user: TURNUser, now: Instant) {
        for id in order {
            update(id) { allocation in
                allocation.forget(user)
                if allocation.users.contains(user) { allocation.release(user, now) }
                allocation.updateDeadline()
            }
        }
    }

    // MARK: Data

    /// Sends a datagram from the relayed address `transmit.relay`, for the session `user`. Before the peer's permission is
    /// there it waits; without a relay of that address it is lost, as datagrams may be.
    public mutating func send(_ transmit: Transmit, for user: TURNUser, now: Instant) {
        guard let relay = transmit.relay, let id = relays[relay] else { return }
        update(id, forbidsFragmentation: transmit.forbidsFragmentation) {
            $0.relay(transmit.payload, to: transmit.destination, for: user, now)
        }
    }

    // MARK: Input

    /// Takes a datagram from the shared socket, if a TURN server sent it to this client.
    ///
    /// - Returns: `false` when it is for somebody else.
    public mutating func handle(datagram: [UInt8], from source: TransportAddress, now: Instant) -> Bool {
        for id in order {
            // No copy: it would have to be made anew with the first change.
            guard let index = allocations.index(forKey: id), !allocations.values[index].isStream,
                allocations.values[index].address == source
            else { continue }
            var isOurs = false
            update(id) { isOurs = $0.handle(frame: datagram, now) }
            if isOurs { return true }
        }
        return false
    }

    /// The connection that ``TURNEvent/connect(_:_:)`` asked for is there.
    public mutating func streamOpened(_ id: TURNServerID, now: Instant) { update(id) { $0.streamOpened(now) } }

    /// The connection could not be made, or has ended.
    public mutating func streamClosed(_ id: TURNServerID, now: Instant) { update(id) { $0.streamClosed(now) } }

    /// Takes bytes of a connection, cut anywhere.
    public mutating func handle(stream bytes: [UInt8], from id: TURNServerID, now: Instant) {
        update(id) { $0.handle(stream: bytes, now) }
    }

    /// The host's addresses have changed: servers are asked whether they still know this socket, and those that failed are
    /// tried again.
    public mutating func networkChanged(now: Instant) {
        for id in order { update(id) { $0.networkChanged(now) } }
    }

    /// Does what is due.
    public mutating func handleTimeout(now: Instant) {
        for id in order { update(id) { $0.handleTimeout(now) } }
    }

    // MARK: Output

    /// The next datagram for the shared socket.
    public mutating func pollTransmit() -> Transmit? { transmits.popFirst() }

    /// The next bytes for a connection: one whole message each, so an owner that has too much waiting may leave one out.
    public mutating func pollStream() -> (server: TURNServerID, bytes: [UInt8])? { streams.popFirst() }

    /// The next datagram that a peer sent to a relayed address.
    public mutating func pollReceived() -> TURNReceived? { received.popFirst() }

    /// The next thing to tell the owner.
    public mutating func pollEvent() -> TURNEvent? { events.popFirst() }

    /// Changes one allocation in place and takes out what it has to say.
    private mutating func update(
        _ id: TURNServerID, forbidsFragmentation: Bool = false, _ change: (inout TURNAllocation) -> Void
    ) {
        guard let index = allocations.index(forKey: id) else { return }
        let before = allocations.values[index].deadline
        change(&allocations.values[index])
        for frame in allocations.values[index].frames {
            if allocations.values[index].isStream {
                streams.append((id, frame))
            } else {
                transmits.append(
                    Transmit(
                        to: allocations.values[index].address, payload: frame,
                        forbidsFragmentation: forbidsFragmentation))
            }
        }
        allocations.values[index].frames.removeAll(keepingCapacity: true)
        for datagram in allocations.values[index].received { received.append(datagram) }
        allocations.values[index].received.removeAll(keepingCapacity: true)
        for event in allocations.values[index].events { take(event, of: id) }
        allocations.values[index].events = []
        let isDone = removed.contains(id) && allocations.values[index].phase == .idle
        if allocations.values[index].deadline != before || isDone {
            if isDone { remove(id) }
            nextTimeout = allocations.values.lazy.compactMap(\.deadline).min()
        }
    }

    private mutating func take(_ event: TURNEvent, of id: TURNServerID) {
        switch event {
        case .allocated(_, let relayed, _): relays[relayed] = id
        case .lost(_, let relayed): relays[relayed] = nil
        case .failed, .connect, .disconnect, .peerRefused: break
        }
        events.append(event)
    }

    private mutating func remove(_ id: TURNServerID) {
        allocations[id] = nil
        order.removeAll { $0 == id }
        removed.remove(id)
    }
}
