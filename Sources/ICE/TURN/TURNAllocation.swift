internal import SwarmBase

/// One server of a ``TURNClient``: the allocation on it, with its permissions and channels (RFC 8656).
struct TURNAllocation: Sendable {
    enum Phase: Hashable {
        /// Nobody wants it.
        case idle
        /// The owner is opening the stream.
        case connecting(until: Instant)
        case allocating
        case allocated
        /// An older allocation of this socket is being given back, so that there may be a new one.
        case clearing
        case releasing
        /// After a failure.
        case waiting(until: Instant)
    }

    enum Purpose: Hashable {
        case allocate
        case refresh
        /// Refresh with a lifetime of 0.
        case release
        case permission(IPAddress)
        case channel(TransportAddress, ChannelNumber)
    }

    /// A request whose answer is awaited.
    struct Request: Sendable {
        let purpose: Purpose
        let datagram: [UInt8]
        /// With which answers are authenticated; `nil` when the request was not.
        let challenge: LongTermChallenge?
        /// How often a new challenge was answered with this request.
        let challenges: Int
        var sends = 1
        var due: Instant
    }

    /// Whether packets of an IP address pass.
    struct Permission: Sendable {
        enum State: Hashable {
            case requested
            case granted
            case refused(until: Instant)
        }

        var state = State.requested
        var refreshAt: Instant?
        /// What is sent once it is granted.
        var waiting: [(peer: TransportAddress, payload: [UInt8])] = []
    }

    struct Peer: Sendable {
        /// The sessions that send to it: without any, neither permission nor channel is refreshed.
        var users: Set<TURNUser> = []
        var channel: ChannelNumber?
        /// Whether data may go by the channel.
        var isBound = false
        var channelRefresh: Instant?
        /// When the server forgets the channel, and when its number is free again.
        var boundUntil: Instant?
        var quarantinedUntil: Instant?
        /// After a refusal no channel is asked for before this.
        var retryAt: Instant?
    }

    let id: TURNServerID
    let server: TURNServer
    let configuration: TURNClientConfiguration
    var entropy: Entropy
    /// Where requests go: another address than the server's after a 300.
    var address: TransportAddress
    var users: Set<TURNUser> = []
    var phase = Phase.idle
    var isStreamOpen = false
    var reader = TURNStreamReader()
    var challenge: LongTermChallenge?
    var requests: [STUNTransactionID: Request] = [:]
    /// At most one of each family.
    var relayed: [TransportAddress] = []
    var refreshAt: Instant?
    var expiresAt: Instant?
    var peers: [TransportAddress: Peer] = [:]
    var permissions: [IPAddress: Permission] = [:]
    var channels: [ChannelNumber: TransportAddress] = [:]
    var nextChannel: UInt16
    var failures = 0
    var clearings = 0
    var redirects = 0
    var lastSent = Instant.zero
    var deadline: Instant?

    /// Whole messages for the server.
    var frames: [[UInt8]] = []
    var received: [TURNReceived] = []
    var events: [TURNEvent] = []

    init(id: TURNServerID, server: TURNServer, configuration: TURNClientConfiguration, entropy: Entropy) {
        self.id = id
        self.server = server
        self.configuration = configuration
        self.entropy = entropy
        address = server.address
        nextChannel = ChannelNumber.range.lowerBound
    }

    var isStream: Bool { server.transport == .stream }

    // MARK: Users

    mutating func retain(_ user: TURNUser, _ now: Instant) {
        users.insert(user)
        if phase == .idle { start(now) }
        updateDeadline()
    }

    mutating func release(_ user: TURNUser, _ now: Instant) {
        forget(user)
        guard users.remove(user) != nil, users.isEmpty else { return }
        switch phase {
        case .idle, .allocating, .clearing, .releasing:
            break
        case .connecting, .waiting:
            hangUp()
            phase = .idle
        case .allocated:
            giveBack(now)
        }
        updateDeadline()
    }

    /// A session ends: the peers that only it sent to are kept no longer than the server keeps them.
    mutating func forget(_ user: TURNUser) {
        for (address, peer) in peers where peer.users.contains(user) {
            peers[address]?.users.remove(user)
            if peer.users.count == 1, peer.channel == nil { peers[address] = nil }
        }
    }

    // MARK: Beginning and ending

    mutating func start(_ now: Instant) {
        if isStream, !isStreamOpen {
            phase = .connecting(until: now + configuration.streamTimeout)
            events.append(.connect(id, address))
        } else {
            phase = .allocating
            send(.allocate, now)
        }
    }

    mutating func giveBack(_ now: Instant) {
        loseAddresses()
        requests = [:]
        phase = .releasing
        send(.release, now)
    }

    /// The server has forgotten us, or is about to: begins again if somebody wants it.
    mutating func endRelease(_ now: Instant) {
        hangUp()
        phase = .idle
        if !users.isEmpty { start(now) }
    }

    mutating func fail(_ reason: TURNFailure, _ now: Instant) {
        loseAddresses()
        requests = [:]
        challenge = nil
        hangUp()
        address = server.address
        redirects = 0
        clearings = 0
        guard !users.isEmpty else {
            phase = .idle
            return
        }
        let wait: Duration
        switch reason {
        case .unreachable, .disconnected, .allocationMismatch:
            wait = min(
                configuration.initialRetryInterval * (1 << min(failures, 16)), configuration.maximumRetryInterval)
        case .unauthorized, .quotaReached, .insufficientCapacity, .refused:
            wait = configuration.maximumRetryInterval
        }
        failures += 1
        phase = .waiting(until: now + wait)
        events.append(.failed(id, reason))
    }

    private mutating func loseAddresses() {
        for address in relayed { events.append(.lost(id, relayed: address)) }
        relayed = []
        refreshAt = nil
        expiresAt = nil
        permissions = [:]
        channels = [:]
        // Who sends to whom is still true of the next allocation.
        for address in Array(peers.keys) { peers[address] = peers[address].map { Peer(users: $0.users) } }
    }

    private mutating func hangUp() {
        guard isStream else { return }
        if isStreamOpen || phase.isConnecting { events.append(.disconnect(id)) }
        isStreamOpen = false
        reader = TURNStreamReader()
    }

    mutating func redirect(to alternate: TransportAddress, _ now: Instant) {
        redirects += 1
        hangUp()
        requests = [:]
        // Its realm and nonce need not be those of the first (RFC 8489 §10).
        challenge = nil
        address = alternate
        start(now)
    }

    /// The host's addresses have changed, and with them perhaps where the server sees us: an answer to Refresh says whether
    /// it still knows us, and 437 brings a new allocation.
    mutating func networkChanged(_ now: Instant) {
        switch phase {
        case .allocated: if !awaits(.refresh) { send(.refresh, now) }
        case .waiting: start(now)
        case .idle, .connecting, .allocating, .clearing, .releasing: break
        }
        updateDeadline()
    }

    // MARK: The stream

    mutating func streamOpened(_ now: Instant) {
        guard case .connecting = phase else { return }
        isStreamOpen = true
        reader = TURNStreamReader()
        start(now)
        updateDeadline()
    }

    mutating func streamClosed(_ now: Instant) {
        guard isStreamOpen || phase.isConnecting else { return }
        isStreamOpen = false
        // What is closed needs no farewell.
        if phase.isConnecting { phase = .allocating }
        if phase == .releasing { endRelease(now) } else { fail(.disconnected, now) }
        updateDeadline()
    }

    mutating func handle(stream bytes: [UInt8], _ now: Instant) {
        guard isStreamOpen else { return }
        reader.append(bytes)
        do {
            // A frame may end the stream: what follows it is void.
            while isStreamOpen, let frame = try reader.next() { handle(frame: frame, now) }
        } catch {
            fail(.disconnected, now)
        }
        updateDeadline()
    }

    // MARK: Time

    mutating func handleTimeout(_ now: Instant) {
        guard let deadline, deadline <= now else { return }
        switch phase {
        case .connecting(let until) where until <= now: fail(.disconnected, now)
        case .waiting(let until) where until <= now: start(now)
        case .allocated where expiresAt.map { $0 <= now } ?? false: fail(.unreachable, now)
        default: break
        }
        retransmit(now)
        if phase == .allocated {
            if let due = refreshAt, due <= now {
                refreshAt = nil
                send(.refresh, now)
            }
            refreshPermissions(now)
            refreshChannels(now)
        }
        if let due = keepaliveTime, due <= now {
            let id = STUNTransactionID.random(using: &entropy)
            emit(STUNMessage(.indication, transactionID: id).encoded(), now)
        }
        updateDeadline()
    }

    private var keepaliveTime: Instant? {
        phase == .allocated && !isStream ? lastSent + configuration.keepaliveInterval : nil
    }

    mutating func updateDeadline() {
        var next = keepaliveTime
        switch phase {
        case .connecting(let until), .waiting(let until): next = .earlier(next, until)
        case .allocated: next = .earlier(.earlier(next, refreshAt), expiresAt)
        case .idle, .allocating, .clearing, .releasing: break
        }
        for request in requests.values { next = .earlier(next, request.due) }
        if phase == .allocated {
            for permission in permissions.values {
                next = .earlier(next, permission.refreshAt)
                if case .refused(let until) = permission.state { next = .earlier(next, until) }
            }
            for peer in peers.values {
                next = .earlier(next, peer.users.isEmpty ? peer.quarantinedUntil : peer.channelRefresh)
                if peer.isBound { next = .earlier(next, peer.boundUntil) }
            }
        }
        deadline = next
    }

    /// Hands a message to the way to the server.
    mutating func emit(_ frame: [UInt8], _ now: Instant) {
        guard !isStream || isStreamOpen else { return }
        lastSent = now
        frames.append(frame)
    }
}

extension TURNAllocation.Phase {
    var isConnecting: Bool { if case .connecting = self { true } else { false } }
}
