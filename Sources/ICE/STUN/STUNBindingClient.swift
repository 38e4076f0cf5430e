public import SwarmBase

/// How a NAT chooses the outside address of one socket (RFC 4787 §4.1).
public enum NATMapping: Hashable, Sendable {
    /// Fewer than two servers have answered.
    case unknown
    /// Every server sees the same address: it can be told to peers.
    case endpointIndependent(TransportAddress)
    /// Servers see different addresses ("symmetric"): none of them is of use to a peer.
    case addressDependent
}

/// The timers and bounds of a ``STUNBindingClient``.
public struct STUNBindingClientConfiguration: Sendable {
    /// RTO: the first retransmission; doubled for each further one (RFC 8489 §6.2.1).
    public var initialRetransmissionTimeout: Duration = .milliseconds(500)
    /// Rc: how often a request is sent (RFC 8489 §6.2.1).
    public var maximumSends = 7
    /// Rm: how many times the first timeout the last sending is waited for (RFC 8489 §6.2.1).
    public var finalWaitFactor = 16
    /// How often a server that answers is asked again, which also keeps the NAT's mapping (RFC 8445 §11).
    public var keepaliveInterval: Duration = .seconds(25)
    /// When a server that did not answer is asked again.
    public var retryInterval: Duration = .seconds(60)
    /// An answer this old no longer counts for ``NATMapping``.
    public var answerLifetime: Duration = .seconds(600)
    /// More servers than this are not asked.
    public var maximumServers = 8

    public init() {}
}

/// What a ``STUNBindingClient`` found out.
public enum STUNBindingEvent: Hashable, Sendable {
    /// A server sees this socket at a new address, or for the first time.
    case reflexive(TransportAddress, server: TransportAddress)
    /// The NAT's mapping for one address family is now this.
    case mappingChanged(NATMapping, isIPv6: Bool)
    /// A server did not answer; it is asked again after `retryInterval`.
    case unreachable(server: TransportAddress)
}

/// Asks STUN servers over the node's shared socket where they see it (RFC 8489 §3, RFC 5780 in spirit), again and again.
///
/// Sans-IO: after every command or `handle…` drain ``pollTransmit()``, then ``pollEvent()``, then read ``nextTimeout``.
public struct STUNBindingClient: Sendable {
    private struct Server: Sendable {
        let address: TransportAddress
        var transaction: STUNTransactionID?
        var datagram: [UInt8] = []
        var sends = 0
        var due: Instant
        var reflexive: TransportAddress?
        var answeredAt: Instant?
    }

    private let configuration: STUNBindingClientConfiguration
    private var entropy: Entropy
    private var servers: [Server] = []
    private var mappings: [Bool: NATMapping] = [:]
    private var transmits: [Transmit] = []
    private var events: [STUNBindingEvent] = []

    /// A client without servers.
    public init(configuration: STUNBindingClientConfiguration = .init(), entropy: Entropy) {
        self.configuration = configuration
        self.entropy = entropy
    }

    /// The servers that are asked.
    public var serverAddresses: [TransportAddress] { servers.map(\.address) }

    /// Begins to ask a server. A server that is known, has port 0, or is one too many is left out.
    public mutating func addServer(_ address: TransportAddress, now: Instant) {
        guard servers.count < configuration.maximumServers, address.port != 0,
            !servers.contains(where: { $0.address == address })
        else { return }
        servers.append(Server(address: address, due: now))
        handleTimeout(now: now)
    }

    /// Asks a server no more.
    public mutating func removeServer(_ address: TransportAddress, now: Instant) {
        servers.removeAll { $0.address == address }
        updateMapping(isIPv6: address.address.isIPv6, now)
    }

    /// Asks all servers now: the machine's addresses have changed.
    public mutating func refresh(now: Instant) {
        for index in servers.indices {
            servers[index].transaction = nil
            servers[index].due = now
        }
        handleTimeout(now: now)
    }

    /// What is known of the NAT for one address family.
    public func mapping(isIPv6: Bool) -> NATMapping { mappings[isIPv6] ?? .unknown }

    /// Whether an answer with this id is for this client.
    public func owns(transaction: STUNTransactionID) -> Bool { servers.contains { $0.transaction == transaction } }

    /// Takes an answer.
    ///
    /// - Returns: `false` when it is not the answer of a server that was asked.
    @discardableResult
    public mutating func handle(stun datagram: [UInt8], from source: TransportAddress, now: Instant) -> Bool {
        guard let id = STUNMessage.transactionID(of: datagram),
            let index = servers.firstIndex(where: { $0.transaction == id }), servers[index].address == source,
            let received = try? ReceivedSTUNMessage(parsing: datagram), received.message.method == .binding
        else { return false }
        switch received.message.messageClass {
        case .request, .indication:
            return false
        case .error:
            // 420, 500 and the like: it will not do better at once.
            fail(index, now)
        case .success:
            guard let reflexive = received.message.reflexiveAddress, reflexive.port != 0 else { return false }
            let isNew = servers[index].reflexive != reflexive
            servers[index].transaction = nil
            servers[index].reflexive = reflexive
            servers[index].answeredAt = now
            servers[index].due = now + configuration.keepaliveInterval
            if isNew { events.append(.reflexive(reflexive, server: source)) }
            updateMapping(isIPv6: source.address.isIPv6, now)
        }
        return true
    }

    /// Sends what is due.
    public mutating func handleTimeout(now: Instant) {
        for index in servers.indices where servers[index].due <= now {
            if servers[index].transaction == nil {
                let id = STUNTransactionID.random(using: &entropy)
                servers[index].transaction = id
                servers[index].datagram = STUNMessage(.request, transactionID: id).encoded()
                servers[index].sends = 0
            } else if servers[index].sends >= configuration.maximumSends {
                fail(index, now)
                continue
            }
            let sends = servers[index].sends
            servers[index].sends += 1
            let factor = sends + 1 >= configuration.maximumSends ? configuration.finalWaitFactor : 1 << min(sends, 20)
            servers[index].due = now + configuration.initialRetransmissionTimeout * factor
            transmits.append(Transmit(to: servers[index].address, payload: servers[index].datagram))
        }
    }

    /// When ``handleTimeout(now:)`` is due.
    public var nextTimeout: Instant? { servers.lazy.map(\.due).min() }

    /// The next datagram to be sent.
    public mutating func pollTransmit() -> Transmit? { transmits.isEmpty ? nil : transmits.removeFirst() }

    /// The next thing to tell the owner.
    public mutating func pollEvent() -> STUNBindingEvent? { events.isEmpty ? nil : events.removeFirst() }

    private mutating func fail(_ index: Int, _ now: Instant) {
        servers[index].transaction = nil
        servers[index].due = now + configuration.retryInterval
        events.append(.unreachable(server: servers[index].address))
        updateMapping(isIPv6: servers[index].address.address.isIPv6, now)
    }

    /// Two servers at different IP addresses are needed: a NAT may well treat two ports of one address alike.
    private mutating func updateMapping(isIPv6: Bool, _ now: Instant) {
        let fresh = servers.filter {
            $0.address.address.isIPv6 == isIPv6
                && $0.answeredAt.map { now - $0 < configuration.answerLifetime } ?? false
        }
        let seen = Set(fresh.compactMap(\.reflexive))
        let mapping: NATMapping
        if seen.count > 1 {
            mapping = .addressDependent
        } else if let only = seen.first, Set(fresh.map(\.address.address)).count > 1 {
            mapping = .endpointIndependent(only)
        } else {
            mapping = .unknown
        }
        guard mapping != mappings[isIPv6] ?? .unknown else { return }
        mappings[isIPv6] = mapping
        events.append(.mappingChanged(mapping, isIPv6: isIPv6))
    }
}
