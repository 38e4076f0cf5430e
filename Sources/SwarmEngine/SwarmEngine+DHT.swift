public import DHT
import ICE
public import SwarmBase

/// The mainline DHT: members are found and signals are exchanged without any server of ours.
extension SwarmEngine {
    /// What stands in for the STUN server that an address is known from: all nodes of a family together.
    private static let dhtReporters: [AddressFamily: TransportAddress] = [
        .ipv4: TransportAddress(.v4(0), port: 0), .ipv6: TransportAddress(.v6(0, 0), port: 0),
    ]
    /// The table is kept so often, and at the end.
    private static let keepTableEvery: Duration = .seconds(600)
    /// The key of the table among what is kept.
    static let dhtTableKey = "dht/table"

    /// How it stands with the DHT.
    public struct DHTStatus: Equatable, Sendable {
        /// Nodes that answer.
        public var nodes: [AddressFamily: Int]
        /// What they say of our address: a symmetric NAT shows here.
        public var mappings: [AddressFamily: ExternalMapping]
        /// Queries of others are not answered, because they would not get here.
        public var isReadOnly: Bool
        public var counters: DHTCounters
    }

    /// How it stands with the DHT; `nil` when it is not used.
    public var dhtStatus: DHTStatus? {
        dht.map { plane in
            DHTStatus(
                nodes: Dictionary(uniqueKeysWithValues: AddressFamily.allCases.map { ($0, plane.node.nodeCount($0)) }),
                mappings: Dictionary(
                    uniqueKeysWithValues: AddressFamily.allCases.map { ($0, plane.node.externalMapping($0)) }),
                isReadOnly: plane.node.isReadOnly, counters: plane.node.counters)
        }
    }

    /// An address at which a node of the DHT is: its name may take a while to resolve.
    public mutating func addDHTBootstrap(_ address: TransportAddress, now: Instant) {
        guard dht != nil else { return }
        dhtHealth[AddressFamily(address.address), default: PlaneHealth()].began(now: now)
        dht?.addBootstrap(address, now: now)
        drainDHT(now: now)
    }

    /// How it stands with the DHT of each family that there is a way into.
    var dhtPlanes: [PlaneStatus] {
        guard let node = dht?.node else { return [] }
        return AddressFamily.allCases.compactMap { family in
            guard let health = dhtHealth[family] else { return nil }
            var status = health.status(.dht, family == .ipv4 ? "IPv4" : "IPv6")
            if node.nodeCount(family) == 0, status.state == .working { status.state = .trying }
            switch node.externalMapping(family) {
            case .unknown: break
            case .endpointIndependent(let address):
                status.addresses = [address]
                status.mapping = .endpointIndependent
            case .endpointDependent: status.mapping = .addressDependent
            }
            return status
        }
    }

    private mutating func noteDHTHealth(now: Instant) {
        for family in AddressFamily.allCases {
            let isThere = (dht?.node.nodeCount(family) ?? 0) > 0
            // Our own addresses of a family are a way into its DHT, if they lead out of this machine.
            let mayLead = hostAddresses.contains {
                AddressFamily($0.address) == family && !$0.address.isLoopback && !$0.address.isLinkLocal
            }
            guard isThere || mayLead || dhtHealth[family] != nil else { continue }
            dhtHealth[family, default: PlaneHealth()].began(now: now)
            if isThere { dhtHealth[family]?.worked(now: now) }
        }
    }

    /// Whether signals to a member are left in its mailbox: nothing faster is known to reach it.
    func usesMail(with member: Member) -> Bool {
        dht?.carries(to: member.peer) == true && !(gun.isConnected && member.knowsUs)
            && datagrams.endpoint(of: member.peer) == nil && !(trackersSpeak && member.planes.contains(.tracker))
    }

    /// Leaves a signal in a member's mailbox, if that is how it is reached.
    mutating func post(_ signal: Signal, to member: Member, now: Instant) {
        guard usesMail(with: member), !member.blocked.contains(.direct), let letter = Letter(signal) else { return }
        let wall = wall(now)
        dht?.post(letter, to: member.peer, wall: wall, now: now)
        drainDHT(now: now)
    }

    /// A member runs with keys of its own: so its mailbox is another one.
    mutating func openMailbox(of member: Member, with key: SessionPublicKey) {
        guard dht != nil, configuration.usesConnections,
            let keys = try? MailboxKeys(own: sessionKey, ownID: peerID, peer: key, peerID: member.peer, topic: topic)
        else { return }
        dht?.openMailbox(of: member.peer, keys)
    }

    /// Does what is due.
    mutating func runDHT(now: Instant) {
        guard dht != nil, !isLeaving else { return }
        trackersSpeak = trackersSpokeAt.map { now - $0 < .seconds(150) } ?? false
        let margin = 600_000.0
        let wall = wall(now)
        dht?.follow(Set([-margin, 0, margin].map { Int((wall + $0) / 86_400_000) }).sorted(), topic: topic)
        for member in members.values {
            let isWanted =
                member.cipher != nil && !member.isDormant && usesMail(with: member)
                && (openConnection(of: member) == nil || member.session.suspectSince != nil)
            dht?.watch(member.peer, isWanted, now: now)
        }
        let isInCompany = members.values.contains { $0.session.isUp }
        dht?.handleTimeout(isInCompany: isInCompany, wall: wall, now: now)
        if now >= keepTableAt { keepDHTTable(now: now) }
        drainDHT(now: now)
    }

    /// Writes into the DHT that we leave, where it says that we are here: who reads there later does not look for us. To be
    /// called a moment before `leave`, as writing there is a search.
    public mutating func withdraw(now: Instant) {
        guard !isWithdrawn, !isLeaving, dht?.isConnected == true else { return }
        isWithdrawn = true
        let (wall, place) = (wall(now), PresenceSlots.slot(of: peerID))
        for (day, slot) in ownSlots where slot.isOurs {
            guard let record = try? presenceRecord(isLeaving: true, now: now).sealed(by: identity, topic: topic) else {
                continue
            }
            dht?.write(
                [record] + slot.others, day: day, slot: place, after: slot.sequence, isLast: true, wall: wall, now: now)
        }
        drainDHT(now: now)
    }

    /// Whether that is still under way.
    public var isWithdrawing: Bool { dht?.isWithdrawing ?? false }

    /// Keeps the table for the next run.
    mutating func keepDHTTable(now: Instant) {
        keepTableAt = now + Self.keepTableEvery
        guard configuration.isDurable, let node = dht?.node,
            AddressFamily.allCases.contains(where: { node.nodeCount($0) > 0 })
        else { return }
        pendingWrites.append(StorageWrite(key: Self.dhtTableKey, value: node.savedTable))
    }

    /// Takes all that the DHT has to say.
    mutating func drainDHT(now: Instant) {
        noteDHTHealth(now: now)
        while let event = dht?.pollEvent(now: now) {
            switch event {
            case .endpoints(let addresses):
                seek(addresses.filter { $0 != reflexiveOfDHT($0) }, plane: .dht, now: now)
            case .slot(let day, let slot, let sequence, let records):
                take(records, day: day, slot: slot, sequence: sequence, now: now)
            case .letters(let peer, let letters):
                for letter in letters {
                    guard let signal = letter.signal(from: peer, to: peerID) else {
                        refuse(.malformed)
                        continue
                    }
                    take(signal, plane: .dht, now: now)
                }
            case .mapping(let family, let mapping):
                take(mapping, of: family, now: now)
            case .refused(let refusal):
                refuse(refusal)
            }
        }
        while let transmit = dht?.pollTransmit() { transmits.append(transmit) }
    }

    /// Our own address among those that were announced.
    private func reflexiveOfDHT(_ address: TransportAddress) -> TransportAddress? {
        Self.dhtReporters[address.address.isIPv6 ? .ipv6 : .ipv4].flatMap { reflexive[$0] }
    }

    /// What others say of our address: a candidate when they agree.
    private mutating func take(_ mapping: ExternalMapping, of family: AddressFamily, now: Instant) {
        guard let reporter = Self.dhtReporters[family] else { return }
        switch mapping {
        case .endpointIndependent(let address):
            setReflexive(address, server: reporter, now: now)
        case .endpointDependent, .unknown:
            // What one sees is of no use to another: no candidate.
            if let former = reflexive.removeValue(forKey: reporter), !reflexive.values.contains(former) {
                localCandidates.removeAll { $0.kind == .serverReflexive && $0.address == former }
            }
            if case .endpointDependent(let address) = mapping {
                events.append(
                    .warning(
                        "the NAT at \(address) gives every destination another port (symmetric): direct paths will lead only to members that can be reached from anywhere; a TURN server helps"
                    ))
            }
        }
    }

    /// Takes the records in a slot, and writes our own there when it is missing or old.
    private mutating func take(_ records: [[UInt8]], day: Int, slot: UInt8, sequence: Int64, now: Instant) {
        var others: [(record: PresenceRecord, sealed: [UInt8])] = []
        var isThere = false
        for sealed in records {
            guard let record = try? PresenceRecord(opening: sealed, topic: topic) else {
                refuse(.forged)
                continue
            }
            let age = wall(now) - Double(record.timestamp)
            guard age < PresenceSlots.freshness.milliseconds, age > -configuration.freshness.milliseconds else {
                continue
            }
            if record.peer == peerID {
                takeOwn(record, now: now)
                isThere =
                    record.sessionKey == sessionKey.publicKey && age < PresenceSlots.renewAfter.milliseconds
            } else {
                others.append((record, sealed))
                takePresence(record, sealed: sealed, plane: .dht, freshness: PresenceSlots.freshness, now: now).map {
                    pump($0, now: now)
                }
            }
        }
        guard slot == PresenceSlots.slot(of: peerID), !isLeaving, !isWithdrawn else { return }
        // Those who are here first: there is not room for everybody.
        others.sort {
            ($1.record.isLeaving ? 1 : 0, $0.record.timestamp) > ($0.record.isLeaving ? 1 : 0, $1.record.timestamp)
        }
        ownSlots = ownSlots.filter { abs($0.key - day) <= 1 }
        ownSlots[day] = OwnSlot(sequence: sequence, others: others.map(\.sealed), isOurs: isThere)
        guard !isThere, let own = sealedPresence(now: now) else { return }
        ownSlots[day]?.isOurs = true
        let wall = wall(now)
        dht?.write(
            [own] + others.map(\.sealed), day: day, slot: slot, after: sequence, wall: wall, now: now)
    }
}

/// What was read in the slot where our own presence record belongs.
struct OwnSlot {
    var sequence: Int64
    /// Sealed records of others.
    var others: [[UInt8]]
    /// Our record is there, or on its way.
    var isOurs: Bool
}
