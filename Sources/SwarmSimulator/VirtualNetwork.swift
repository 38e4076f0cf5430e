public import SwarmBase

/// An internet in memory: hosts, NATs, links, cuts. The same seed and the same calls give the same run.
///
/// Sans-IO like the cores that it connects: the owner sends with `now`, and takes what has arrived by ``receive(now:)`` no
/// later than ``nextArrival``. A datagram passes its host's uplink, is translated and filtered where it passes NATs, and
/// passes the other host's downlink.
public struct VirtualNetwork: Sendable {
    /// Names a host.
    public struct HostID: Hashable, Sendable { let number: Int }
    /// Names a NAT.
    public struct NATID: Hashable, Sendable { let number: Int }
    /// Names a reliable connection, such as TCP.
    public struct StreamID: Hashable, Sendable { let number: Int }

    /// What has come to a host.
    public enum Arrival: Hashable, Sendable {
        case datagram([UInt8], from: TransportAddress, to: TransportAddress, at: HostID)
        /// A connection was made; the host that asked for it comes first.
        case streamOpened(StreamID, at: HostID)
        /// Bytes as they were sent: whole and in order.
        case stream(StreamID, [UInt8], at: HostID)
    }

    private struct Host: Sendable {
        var parent: NATID?
        var addresses: [IPAddress]
        var up: Link
        var down: Link
    }

    private struct NATNode: Sendable {
        var parent: NATID?
        var ipv4: NAT
        var ipv6: NAT
        var isHairpinning: Bool
    }

    /// An address within one network: `nil` is the internet itself.
    private struct Place: Hashable, Sendable {
        let network: NATID?
        let address: IPAddress
    }

    /// One direction between two hosts.
    private struct Way: Hashable, Sendable {
        let from: HostID
        let to: HostID
    }

    private enum Owner: Hashable, Sendable {
        case host(HostID)
        case nat(NATID)
    }

    private enum Event: Sendable {
        /// Has passed the sender's uplink.
        case inside(
            [UInt8], forbidsFragmentation: Bool, source: TransportAddress, destination: TransportAddress, from: HostID)
        case arrival(Arrival)
    }

    private var random: SeededGenerator
    private var hosts: [Host] = []
    private var nats: [NATNode] = []
    private var owners: [Place: Owner] = [:]
    private var cuts: Set<Way> = []
    private var streams: [(client: HostID, server: HostID)] = []
    private var lastStreamArrival: [Instant] = []
    private var events = DeadlineQueue<Event>()
    private var nextPublic: UInt32 = 0xc612_0001  // 198.18.0.1
    private var nextPrivate: [UInt32] = []
    private var nextIPv6: UInt64 = 1
    /// How many datagrams were sent, and how many have arrived.
    public private(set) var sentDatagrams = 0
    public private(set) var arrivedDatagrams = 0

    /// A network without hosts.
    public init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    // MARK: Hosts and NATs

    /// Adds a NAT.
    ///
    /// - Parameters:
    ///   - parent: the NAT that it is behind, as at a carrier.
    ///   - isHairpinning: whether hosts behind it reach each other by their outside addresses.
    ///   - timeout: how long a mapping lives after it was used.
    public mutating func addNAT(
        _ kind: NATKind, behind parent: NATID? = nil, isHairpinning: Bool = false, timeout: Duration = .seconds(120)
    ) -> NATID {
        let id = NATID(number: nats.count)
        let outside = newAddress(in: parent)
        // IPv6 is not translated, but what was not asked for does not come in.
        let filter: NATKind = kind == .udpBlocked || kind == .none ? kind : .firewall
        nats.append(
            NATNode(
                parent: parent, ipv4: NAT(kind, outside: outside, timeout: timeout),
                ipv6: NAT(filter, outside: outside, timeout: timeout), isHairpinning: isHairpinning))
        nextPrivate.append(0xc0a8_0002 + UInt32(id.number) << 8)  // 192.168.n.2
        owners[Place(network: parent, address: outside)] = .nat(id)
        return id
    }

    /// Adds a host.
    ///
    /// - Parameters:
    ///   - nat: what it is behind; `nil` for a public address.
    ///   - link: both directions of its access.
    ///   - hasIPv6: gives it an IPv6 address too.
    public mutating func addHost(
        behind nat: NATID? = nil, link: LinkConditions = LinkConditions(), hasIPv6: Bool = false
    ) -> HostID {
        let id = HostID(number: hosts.count)
        hosts.append(Host(parent: nat, addresses: [], up: Link(link), down: Link(link)))
        giveAddresses(to: id, hasIPv6: hasIPv6)
        return id
    }

    /// The addresses of a host, IPv4 first.
    public func addresses(of host: HostID) -> [IPAddress] { hosts[host.number].addresses }

    /// The outside address of a NAT.
    public func outsideAddress(of nat: NATID) -> IPAddress { nats[nat.number].ipv4.outside }

    /// Moves a host to another network, as from Wi-Fi to LTE: its addresses are new, what is on the way to it is lost.
    public mutating func move(_ host: HostID, behind nat: NATID?) {
        let hadIPv6 = hosts[host.number].addresses.contains(where: \.isIPv6)
        owners = owners.filter { place, owner in
            owner != .host(host) && !hosts[host.number].addresses.contains(place.address)
        }
        hosts[host.number].parent = nat
        hosts[host.number].addresses = []
        giveAddresses(to: host, hasIPv6: hadIPv6)
    }

    /// A NAT forgets all mappings.
    ///
    /// - Parameter keepsAddress: `false` gives it a new outside address as well.
    public mutating func reboot(_ nat: NATID, keepsAddress: Bool = true) {
        nats[nat.number].ipv4.reset()
        nats[nat.number].ipv6.reset()
        guard !keepsAddress else { return }
        let parent = nats[nat.number].parent
        owners[Place(network: parent, address: nats[nat.number].ipv4.outside)] = nil
        let outside = newAddress(in: parent)
        nats[nat.number].ipv4.outside = outside
        owners[Place(network: parent, address: outside)] = .nat(nat)
    }

    private mutating func giveAddresses(to host: HostID, hasIPv6: Bool) {
        let parent = hosts[host.number].parent
        var addresses: [IPAddress] = []
        if let parent, nats[parent.number].ipv4.kind != .none, nats[parent.number].ipv4.kind != .firewall {
            addresses.append(.v4(nextPrivate[parent.number]))
            nextPrivate[parent.number] += 1
        } else {
            addresses.append(newAddress(in: nil))
            claim(addresses[0], for: host)
        }
        if hasIPv6 {
            addresses.append(.v6(0x2001_0db8 << 32, nextIPv6))
            nextIPv6 += 1
            claim(addresses[1], for: host)
        }
        for address in addresses { owners[Place(network: parent, address: address)] = .host(host) }
        hosts[host.number].addresses = addresses
    }

    /// An address that is the same on both sides of every NAT on the way.
    private mutating func claim(_ address: IPAddress, for host: HostID) {
        var inner = hosts[host.number].parent
        while let nat = inner {
            inner = nats[nat.number].parent
            owners[Place(network: inner, address: address)] = .nat(nat)
        }
    }

    private mutating func newAddress(in network: NATID?) -> IPAddress {
        guard let network else {
            defer { nextPublic += 1 }
            return .v4(nextPublic)
        }
        defer { nextPrivate[network.number] += 1 }
        return .v4(nextPrivate[network.number])
    }

    // MARK: Links

    /// What a host's access does to what it sends.
    public func uplink(of host: HostID) -> LinkConditions { hosts[host.number].up.conditions }

    /// Sets the conditions of both directions of a host's access.
    public mutating func setLink(of host: HostID, _ conditions: LinkConditions) {
        hosts[host.number].up.conditions = conditions
        hosts[host.number].down.conditions = conditions
    }

    /// Sets the conditions of one direction.
    public mutating func setUplink(of host: HostID, _ conditions: LinkConditions) {
        hosts[host.number].up.conditions = conditions
    }

    /// Sets the conditions of one direction.
    public mutating func setDownlink(of host: HostID, _ conditions: LinkConditions) {
        hosts[host.number].down.conditions = conditions
    }

    /// Lets no datagram pass between two hosts.
    public mutating func cut(_ a: HostID, _ b: HostID) {
        cut(from: a, to: b)
        cut(from: b, to: a)
    }

    /// Lets no datagram pass from one host to another; the other direction stays as it is.
    public mutating func cut(from sender: HostID, to receiver: HostID) { cuts.insert(Way(from: sender, to: receiver)) }

    /// Takes back ``cut(_:_:)``.
    public mutating func heal(_ a: HostID, _ b: HostID) {
        cuts.remove(Way(from: a, to: b))
        cuts.remove(Way(from: b, to: a))
    }

    /// Takes back every cut.
    public mutating func healAll() { cuts.removeAll() }

    // MARK: Datagrams

    /// Sends a datagram from a host's port.
    ///
    /// - Parameter forbidsFragmentation: whether it is lost where it is too long, rather than cut apart.
    public mutating func send(
        _ payload: [UInt8], from host: HostID, port: UInt16, to destination: TransportAddress,
        forbidsFragmentation: Bool = false, now: Instant
    ) {
        sentDatagrams += 1
        guard
            let address = hosts[host.number].addresses.first(where: { $0.isIPv6 == destination.address.isIPv6 })
        else { return }
        let source = TransportAddress(address, port: port)
        let copies = hosts[host.number].up.carry(
            payload, forbidsFragmentation: forbidsFragmentation, now: now, using: &random)
        for copy in copies {
            events.add(
                .inside(
                    copy.payload, forbidsFragmentation: forbidsFragmentation, source: source, destination: destination,
                    from: host), at: copy.at)
        }
    }

    /// When ``receive(now:)`` has something to do.
    public var nextArrival: Instant? { events.nextDeadline }

    /// The next thing that has arrived.
    public mutating func receive(now: Instant) -> Arrival? {
        while let due = events.nextDeadline, let event = events.popDue(now: now) {
            switch event {
            case .inside(let payload, let forbidsFragmentation, let source, let destination, let sender):
                guard let (host, from, to) = route(source, destination, from: sender, now: due),
                    cuts.isEmpty || !cuts.contains(Way(from: sender, to: host))
                else { continue }
                let copies = hosts[host.number].down.carry(
                    payload, forbidsFragmentation: forbidsFragmentation, now: due, using: &random)
                for copy in copies {
                    events.add(.arrival(.datagram(copy.payload, from: from, to: to, at: host)), at: copy.at)
                }
            case .arrival(let arrival):
                if case .datagram(_, _, let to, let host) = arrival {
                    // The host may have moved meanwhile.
                    guard hosts[host.number].addresses.contains(to.address) else { continue }
                    arrivedDatagrams += 1
                }
                return arrival
            }
        }
        return nil
    }

    /// Follows a datagram up through the sender's NATs and down through the receiver's.
    private mutating func route(
        _ source: TransportAddress, _ destination: TransportAddress, from sender: HostID, now: Instant
    ) -> (host: HostID, from: TransportAddress, to: TransportAddress)? {
        var source = source
        var network = hosts[sender.number].parent
        while true {
            if let owner = owners[Place(network: network, address: destination.address)] {
                return descend(owner, source, destination, now)
            }
            guard let nat = network else { return nil }
            let isOwn = nats[nat.number].ipv4.outside == destination.address
            guard !isOwn || nats[nat.number].isHairpinning, let mapped = translate(nat, source, destination, now)
            else { return nil }
            source = mapped
            if isOwn { return descend(.nat(nat), source, destination, now) }
            network = nats[nat.number].parent
        }
    }

    private mutating func translate(
        _ nat: NATID, _ source: TransportAddress, _ destination: TransportAddress, _ now: Instant
    ) -> TransportAddress? {
        destination.address.isIPv6
            ? nats[nat.number].ipv6.outbound(from: source, to: destination, now: now, using: &random)
            : nats[nat.number].ipv4.outbound(from: source, to: destination, now: now, using: &random)
    }

    private mutating func descend(
        _ owner: Owner, _ source: TransportAddress, _ destination: TransportAddress, _ now: Instant
    ) -> (host: HostID, from: TransportAddress, to: TransportAddress)? {
        switch owner {
        case .host(let host):
            return (host, source, destination)
        case .nat(let nat):
            let inside =
                destination.address.isIPv6
                ? nats[nat.number].ipv6.inbound(from: source, to: destination, now: now)
                : nats[nat.number].ipv4.inbound(from: source, to: destination, now: now)
            guard let inside, let next = owners[Place(network: nat, address: inside.address)] else { return nil }
            return descend(next, source, inside, now)
        }
    }

    // MARK: Streams

    /// Connects a host to a server by a stream, which passes every NAT and loses nothing.
    public mutating func openStream(from client: HostID, to server: HostID, now: Instant) -> StreamID {
        let id = StreamID(number: streams.count)
        streams.append((client, server))
        lastStreamArrival += [now, now]
        let trip = hosts[client.number].up.conditions.delay + hosts[server.number].down.conditions.delay
        // A three-way handshake: the server knows of it half a round trip later than the client at the earliest.
        events.add(.arrival(.streamOpened(id, at: client)), at: now + trip * 2)
        events.add(.arrival(.streamOpened(id, at: server)), at: now + trip * 2)
        return id
    }

    /// Sends bytes on a stream, from either of its ends.
    public mutating func send(_ bytes: [UInt8], on stream: StreamID, from host: HostID, now: Instant) {
        let (client, server) = streams[stream.number]
        let peer = host == client ? server : client
        let direction = stream.number * 2 + (host == client ? 0 : 1)
        let trip = hosts[host.number].up.conditions.delay + hosts[peer.number].down.conditions.delay
        lastStreamArrival[direction] = max(lastStreamArrival[direction], now + trip)
        events.add(.arrival(.stream(stream, bytes, at: peer)), at: lastStreamArrival[direction])
    }
}
