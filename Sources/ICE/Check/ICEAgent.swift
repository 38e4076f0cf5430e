public import SwarmBase

/// A full ICE agent for one data stream with one component (RFC 8445, 8838, 8863, 7675) over a socket that it shares.
///
/// Sans-IO: after every `handle…` or command the owner drains ``pollTransmit()``, then ``pollEvent()``, then reads
/// ``nextTimeout`` again. Data may be sent to ``sendAddress`` as soon as that is not `nil`, also before nomination.
///
/// The socket is bound to the wildcard address and the kernel chooses the source, so a candidate pair is a remote
/// address here, and the base: the socket, or an address that a TURN server lends. Other local candidates are what the
/// peer is told; they decide priorities.
public struct ICEAgent: ~Copyable {
    /// Which side decides on the pair (RFC 8445 §6.1.1).
    public enum Role: Hashable, Sendable {
        case controlling, controlled

        var opposite: Role { self == .controlling ? .controlled : .controlling }
    }

    /// A check whose answer is awaited.
    struct Transaction {
        let generation: UInt32
        let path: ICEPath
        let role: Role
        let nominates: Bool
        let firstSent: Instant
        var lastSent: Instant
        var sends: Int
    }

    /// Credentials of an ended generation. Its checks are answered, so that a peer that lags behind keeps its consent.
    struct RetiredCredentials {
        let local: ICECredentials
        let key: STUNIntegrityKey
        let until: Instant
    }

    let configuration: ICEConfiguration
    /// ``ICEConfiguration/upkeepGrid`` in nanoseconds.
    let upkeepGrid: Int64
    var entropy: Entropy
    /// Spreads moments. Nobody gains by guessing them, and asking the system for each number costs more than a check.
    var jitter: SeededGenerator
    /// Which side decides; changes by ``setRole(_:)``, a lite peer or a role conflict.
    public internal(set) var role: Role
    var tieBreaker: UInt64
    /// The generation in use until a restart has a pair of its own, then the newest: one or two, newest last.
    var generations: [ICEGeneration]
    var nextGeneration: UInt32 = 1
    var retired: [RetiredCredentials] = []
    /// Earlier credentials of the peer: their candidates are stale.
    var staleRemoteUfrags: [String] = []
    var pendingCandidates: [Candidate] = []
    var remoteEndIsPending = false
    /// What the peer is told, and what it told us of ourselves (peer-reflexive ones).
    public internal(set) var localCandidates: [Candidate] = []
    var localEndedAt: Instant?
    var transactions: [STUNTransactionID: Transaction] = [:]
    /// Where authenticated STUN came from, and in which order.
    var validated: Set<TransportAddress> = []
    var validatedOrder: [TransportAddress] = []
    /// When the next new check may be sent.
    var nextToken: Instant
    var nextRecheck: Instant?
    var disconnectedAt: Instant?
    /// How far the agent is.
    public internal(set) var state = ICEState.new
    /// Which way data goes: the selected pair, or before nomination the best valid one; `nil` when nothing may be sent.
    public internal(set) var sendPath: ICEPath?
    /// Where data goes.
    public var sendAddress: TransportAddress? { sendPath?.remote }
    /// When something authentic came from the peer last, by any pair.
    public var lastReceived: Instant? {
        generations.lazy.flatMap { $0.pairs.lazy.compactMap(\.lastReceived) }.max()
    }
    /// When ``handleTimeout(now:)`` is due; `nil` when there is nothing to wait for.
    public internal(set) var nextTimeout: Instant?
    var transmits: [Transmit] = []
    var transmitsSent = 0
    var events: [ICEEvent] = []
    var eventsRead = 0

    /// An agent that waits for the peer's credentials.
    public init(configuration: ICEConfiguration = .init(), role: Role, entropy: Entropy, now: Instant) {
        self.configuration = configuration
        upkeepGrid = configuration.upkeepGrid.nanosecondsClamped
        self.role = role
        self.entropy = entropy
        tieBreaker = self.entropy.next()
        jitter = SeededGenerator(seed: self.entropy.next())
        generations = [ICEGeneration(id: 0, local: .random(using: &self.entropy))]
        nextToken = now
    }

    /// The newest generation: the one that descriptions talk of.
    var current: Int { generations.count - 1 }

    /// The credentials to be told to the peer.
    public var localCredentials: ICECredentials { generations[current].local }
    /// The peer's newest credentials.
    public var remoteCredentials: ICECredentials? { generations[current].remote?.credentials }

    /// Our ufrags to which checks are answered: the newest generation first.
    public var localUfrags: [String] {
        generations.reversed().map(\.local.ufrag) + retired.reversed().map(\.local.ufrag)
    }

    /// Whether checks that name this ufrag of ours are for this agent: any live generation, or one that ended lately.
    public func accepts(ufrag: String) -> Bool {
        generations.contains { $0.local.ufrag == ufrag } || retired.contains { $0.local.ufrag == ufrag }
    }

    /// Whether an answer with this id is for this agent.
    public func owns(transaction: STUNTransactionID) -> Bool { transactions[transaction] != nil }

    /// Whether authenticated STUN came from this address: what else comes from there may be the peer's. Of very many
    /// addresses (``ICEConfiguration/maximumPairs``) only the latest count.
    public func isValidated(_ address: TransportAddress) -> Bool {
        address == sendPath?.remote || validated.contains(address)
    }

    /// The round trip time of the pair in use, smoothed.
    public var roundTripTime: Duration? {
        for generation in generations.reversed() {
            if let pair = generation.pair(sendPath), generation.selected == sendPath { return pair.roundTrip }
        }
        return nil
    }

    /// Whether the pair in use passes a TURN server of either side, as far as candidates tell.
    public var isRelayed: Bool {
        for generation in generations.reversed() {
            if let pair = generation.pair(sendPath), generation.selected == sendPath { return pair.isRelayed }
        }
        return false
    }

    /// Sets the role before the peer's credentials are known; later it is settled between the agents (RFC 8445 §7.3.1.1)
    /// and this does nothing.
    public mutating func setRole(_ role: Role) {
        guard generations.count == 1, generations[current].remote == nil, state == .new else { return }
        changeRole(to: role)
    }

    /// Adds a candidate that the peer is, or will be, told. Equal addresses of equal kind count once.
    ///
    /// A relayed one is a base of its own: what is to be sent from it comes out of ``pollTransmit()`` with it as `relay`.
    public mutating func addLocalCandidate(_ candidate: Candidate) {
        guard localCandidates.count < configuration.maximumLocalCandidates,
            !localCandidates.contains(where: { $0.address == candidate.address && $0.kind == candidate.kind })
        else { return }
        localCandidates.append(candidate)
        if candidate.kind == .relayed {
            addRelayedPairs(via: candidate.address)
            if state != .closed, hasQueuedCheck { nextTimeout = .earlier(nextTimeout, nextToken) }
        }
        updatePriorities()
    }

    /// Takes back a candidate: the address is ours no longer. Pairs that begin at a relayed one are gone with it; when it
    /// was an address of the machine, ``networkChanged(now:)`` follows by itself.
    public mutating func removeLocalCandidate(_ address: TransportAddress, now: Instant) {
        guard state != .closed, localCandidates.contains(where: { $0.address == address }) else { return }
        let kinds = localCandidates.filter { $0.address == address }.map(\.kind)
        localCandidates.removeAll { $0.address == address }
        if kinds.contains(.relayed) {
            for g in generations.indices { generations[g].removePairs(via: address) }
        }
        updatePriorities()
        if kinds.contains(.host) { networkChanged(now: now) } else { settle(now) }
    }

    /// Says that the machine's interfaces or routes have changed: the kernel may now send another way, so every pair is
    /// checked again at once, those that had failed included. Candidates come and go by ``addLocalCandidate(_:)`` and
    /// ``removeLocalCandidate(_:now:)``. Data goes on meanwhile; nothing is believed dead before it is found so.
    public mutating func networkChanged(now: Instant) {
        guard state != .closed else { return }
        for g in generations.indices where isChecking(g) { recheckPairs(of: g) }
        settle(now)
    }

    /// Says that no local candidate will follow (RFC 8838 §13).
    public mutating func endOfLocalCandidates(now: Instant) {
        localEndedAt = localEndedAt ?? now
        settle(now)
    }

    /// Takes the peer's credentials from its description. Other credentials than before are a restart by the peer: then
    /// ``localCredentials`` are new as well, unless ``restart(now:)`` has already made new ones (RFC 8839 §4.4.1.1.1).
    ///
    /// - Parameter isLite: the peer has `a=ice-lite`; then this agent is controlling (RFC 8445 §6.1.1).
    public mutating func setRemote(credentials: ICECredentials, isLite: Bool, now: Instant) {
        guard state != .closed else { return }
        if let remote = generations[current].remote {
            if remote.credentials == credentials { return }
            beginGeneration(now)
        }
        generations[current].remote = .init(
            credentials: credentials, key: credentials.key, isLite: isLite,
            username: Array("\(credentials.ufrag):\(generations[current].local.ufrag)".utf8))
        generations[current].startedAt = now
        if isLite { changeRole(to: .controlling) }
        let pending = pendingCandidates
        pendingCandidates = []
        staleRemoteUfrags.removeAll { $0 == credentials.ufrag }
        for candidate in pending {
            if candidate.usernameFragment ?? credentials.ufrag == credentials.ufrag {
                addRemoteCandidate(candidate, to: current)
            } else {
                pendingCandidates.append(candidate)
            }
        }
        if remoteEndIsPending {
            remoteEndIsPending = false
            generations[current].remoteEndedAt = now
        }
        let early = generations[current].earlyChecks
        generations[current].earlyChecks = []
        for check in early where check.remoteUfrag == credentials.ufrag {
            processCheck(
                on: check.path, priority: check.priority, nominates: check.nominates, in: current, now: now)
        }
        settle(now)
    }

    /// Adds a candidate of the peer. One that names another ufrag than the peer's newest is dropped when it belongs to an
    /// earlier generation, and kept until its generation comes otherwise; so is one that comes before any credentials.
    public mutating func addRemoteCandidate(_ candidate: Candidate, now: Instant) {
        guard state != .closed else { return }
        let remote = generations[current].remote
        let fragment = candidate.usernameFragment
        if let fragment, staleRemoteUfrags.contains(fragment) { return }
        if let remote, fragment == nil || fragment == remote.credentials.ufrag {
            addRemoteCandidate(candidate, to: current)
            settle(now)
        } else if pendingCandidates.count < configuration.maximumPendingCandidates {
            pendingCandidates.append(candidate)
        }
    }

    /// Says that the peer has named all its candidates.
    public mutating func endOfRemoteCandidates(now: Instant) {
        guard generations[current].remote != nil else {
            remoteEndIsPending = true
            return
        }
        generations[current].remoteEndedAt = generations[current].remoteEndedAt ?? now
        settle(now)
    }

    /// Begins a new generation: ``localCredentials`` are new and go into an offer. A pair that works goes on carrying data
    /// until the new generation has one (RFC 8445 §9).
    public mutating func restart(now: Instant) {
        guard state != .closed else { return }
        beginGeneration(now)
        settle(now)
    }

    /// Ends the agent: nothing is sent or answered any more.
    public mutating func close() {
        guard state != .closed else { return }
        transmits = []
        transmitsSent = 0
        transactions = [:]
        sendPath = nil
        nextTimeout = nil
        state = .closed
        events.append(.stateChanged(.closed))
    }

    /// Takes one STUN datagram: requests are answered, answers matched by transaction id.
    ///
    /// - Parameter relay: the relayed address of ours that it came to; `nil` for the shared socket.
    /// - Returns: `false` when it was not for this agent, or was refused: nothing in it may be believed.
    @discardableResult
    public mutating func handle(
        stun datagram: [UInt8], from source: TransportAddress, via relay: TransportAddress? = nil, now: Instant
    ) -> Bool {
        guard state != .closed, source.port != 0, let received = try? ReceivedSTUNMessage(parsing: datagram),
            received.message.method == .binding
        else { return false }
        let path = ICEPath(remote: source, relay: relay)
        let accepted: Bool
        switch received.message.messageClass {
        case .request: accepted = handleRequest(received, on: path, now: now)
        case .success, .error: accepted = handleAnswer(received, on: path, now: now)
        // A keepalive without authentication (RFC 8445 §11): says nothing.
        case .indication: accepted = false
        }
        if accepted { settle(now) }
        return accepted
    }

    /// Runs everything that is due.
    public mutating func handleTimeout(now: Instant) {
        guard state != .closed else { return }
        settle(now)
    }

    /// The next datagram to be sent.
    public mutating func pollTransmit() -> Transmit? {
        guard transmitsSent < transmits.count else { return nil }
        defer {
            transmitsSent += 1
            if transmitsSent == transmits.count {
                transmits.removeAll(keepingCapacity: true)
                transmitsSent = 0
            }
        }
        return transmits[transmitsSent]
    }

    /// The next thing to tell the owner.
    public mutating func pollEvent() -> ICEEvent? {
        guard eventsRead < events.count else { return nil }
        defer {
            eventsRead += 1
            if eventsRead == events.count {
                events.removeAll()
                eventsRead = 0
            }
        }
        return events[eventsRead]
    }
}
