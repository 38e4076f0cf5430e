import DHT
import SwarmBase

/// The mainline DHT as the engine uses it: a node of its own, the places where members meet, and their mailboxes.
///
/// Two ways to be found: members announce their socket for an infohash of the day, so that others can say hello to it; and
/// they leave their presence records in items. Who cannot be said hello to is written to by mailbox.
struct DHTPlane {
    /// What it brought.
    enum Event {
        /// Members may be at these addresses.
        case endpoints([TransportAddress])
        /// What was read in a slot, or that nothing is there.
        case slot(day: Int, slot: UInt8, sequence: Int64, records: [[UInt8]])
        case letters(PeerID, [Letter])
        case mapping(AddressFamily, ExternalMapping)
        case refused(Refusal)
    }

    private enum Purpose {
        case rendezvous(NodeID)
        case readSlot(day: Int, slot: UInt8)
        case writeSlot(NodeID)
        case readMail(PeerID)
        case writeMail(PeerID)
    }

    /// How long a round of searches is waited for, alone and in company.
    private static let firstWait: Duration = .seconds(5)
    private static let longestWait: (alone: Duration, inCompany: Duration) = (.seconds(60), .seconds(300))
    /// The socket is announced anew so often.
    private static let announceEvery: Duration = .seconds(900)
    private static let mostRemembered = 128

    private(set) var node: DHTNode
    private var entropy: Entropy
    private var purposes: [OperationID: Purpose] = [:]
    /// Where the last search for a target ended: the next one begins there.
    private var near: [NodeID: [NodeContact]] = [:]
    private var slots: [PresenceSlots] = []
    private var slotItems: [OperationID: MutableItem] = [:]
    private var mailboxes: [PeerID: Mailbox] = [:]
    private(set) var isConnected = false
    /// What is being written because we leave.
    private var withdrawals: Set<OperationID> = []
    private var roundAt: Instant?
    private var rounds = 0
    private var announcedAt: Instant?
    private var events = FIFO<Event>()

    init(entropy: Entropy, saved: [UInt8] = [], now: Instant) {
        self.entropy = entropy
        node = DHTNode(entropy: self.entropy.fork(), saved: saved, now: now)
    }

    /// Begins with the table of an earlier run. To be called before anything else.
    mutating func restore(_ saved: [UInt8], now: Instant) {
        node = DHTNode(entropy: entropy.fork(), saved: saved, now: now)
    }

    // MARK: What the engine tells

    mutating func addBootstrap(_ address: TransportAddress, now: Instant) { node.addBootstrap(address, now: now) }

    mutating func setHostAddresses(_ addresses: [TransportAddress], now: Instant) {
        node.setHostAddresses(Set(addresses.map(\.address)), now: now)
        rounds = 0
        announcedAt = nil
        if isConnected { roundAt = min(roundAt ?? now, now + .seconds(2)) }
    }

    /// The days whose places are used: today, and around midnight its neighbour.
    mutating func follow(_ days: [Int], topic: Topic) {
        guard days != slots.map(\.day) else { return }
        slots = days.compactMap { PresenceSlots(topic: topic, day: $0) }
        announcedAt = nil
    }

    mutating func handle(datagram: [UInt8], from source: TransportAddress, now: Instant) {
        node.handle(datagram: datagram, from: source, now: now)
    }

    // MARK: Time

    /// - Parameter isInCompany: a session is up: there is no hurry to find more.
    mutating func handleTimeout(isInCompany: Bool, wall: Double, now: Instant) {
        if let at = node.nextTimeout, now >= at { node.handleTimeout(now: now) }
        if let at = roundAt, now >= at { beginRound(isInCompany: isInCompany, now: now) }
        guard isConnected else { return }
        let busy = mailboxes.filter { $0.value.hasUnwritten || $0.value.readAt.map { now >= $0 } ?? false }
        for peer in busy.keys.sorted() {
            writeMail(to: peer, wall: wall, now: now)
            guard let at = mailboxes[peer]?.readAt, now >= at, let mailbox = mailboxes[peer] else { continue }
            mailboxes[peer]?.reading()
            let key = mailbox.keys.incoming.publicKey
            let id = node.getMutable(
                key: key, newerThan: mailbox.readSequence, near: near[MutableItem.target(key: key, salt: [])] ?? [],
                now: now)
            purposes[id] = .readMail(peer)
        }
    }

    var nextTimeout: Instant? {
        var next: Instant? = .earlier(node.nextTimeout, roundAt)
        if isConnected { for mailbox in mailboxes.values { next = .earlier(next, mailbox.readAt) } }
        return next
    }

    mutating func pollTransmit() -> Transmit? { node.pollTransmit() }

    private mutating func beginRound(isInCompany: Bool, now: Instant) {
        let longest = isInCompany ? Self.longestWait.inCompany : Self.longestWait.alone
        let wait = min(Self.firstWait * (1 << min(rounds, 8)), longest)
        rounds += 1
        roundAt = now + wait * Double.random(in: 0.8...1, using: &entropy)
        let announces = announcedAt.map { now - $0 >= Self.announceEvery } ?? true
        if announces { announcedAt = now }
        for place in slots {
            let id = node.getPeers(
                place.infoHash, announcing: announces ? 0 : nil, near: near[place.infoHash] ?? [], now: now)
            purposes[id] = .rendezvous(place.infoHash)
            for slot in 0..<UInt8(PresenceSlots.count) {
                let target = MutableItem.target(key: place.publicKey, salt: [slot])
                let id = node.getMutable(key: place.publicKey, salt: [slot], near: near[target] ?? [], now: now)
                purposes[id] = .readSlot(day: place.day, slot: slot)
            }
        }
    }

    /// Somebody is looked for in particular: the next round comes soon.
    mutating func hurry(now: Instant) {
        rounds = 0
        if let at = roundAt { roundAt = min(at, now + .seconds(1)) }
    }

    // MARK: What it brings

    mutating func pollEvent(now: Instant) -> Event? {
        while let event = node.pollEvent() { take(event, now: now) }
        return events.popFirst()
    }

    private mutating func take(_ event: DHTEvent, now: Instant) {
        switch event {
        case .connected:
            isConnected = true
            if roundAt == nil { roundAt = now }
        case .externalMapping(let family, let mapping):
            events.append(.mapping(family, mapping))
        case .peers(_, let addresses):
            events.append(.endpoints(addresses))
        case .item(let id, .mutable(let item)):
            switch purposes[id] {
            case .readSlot: slotItems[id] = item
            case .readMail(let peer): read(item, from: peer, now: now)
            case .rendezvous, .writeSlot, .writeMail, nil: break
            }
        case .item(_, .immutable):
            break
        case .finished(let id, let outcome):
            finished(id, outcome, now: now)
        }
    }

    private mutating func finished(_ id: OperationID, _ outcome: DHTOutcome, now: Instant) {
        withdrawals.remove(id)
        switch purposes.removeValue(forKey: id) {
        case .rendezvous(let target), .writeSlot(let target):
            remember(outcome.closest, near: target)
        case .readSlot(let day, let slot):
            guard let place = slots.first(where: { $0.day == day }) else { return }
            remember(outcome.closest, near: MutableItem.target(key: place.publicKey, salt: [slot]))
            let item = slotItems.removeValue(forKey: id)
            events.append(
                .slot(
                    day: day, slot: slot, sequence: item?.sequence ?? 0,
                    records: item.map { PresenceSlots.records(in: $0) } ?? []))
        case .readMail(let peer):
            guard let mailbox = mailboxes[peer] else { return }
            remember(outcome.closest, near: MutableItem.target(key: mailbox.keys.incoming.publicKey, salt: []))
            if mailbox.isReading { mailboxes[peer]?.hasRead(now: now) }
        case .writeMail(let peer):
            guard let mailbox = mailboxes[peer] else { return }
            remember(outcome.closest, near: MutableItem.target(key: mailbox.keys.outgoing.publicKey, salt: []))
            mailboxes[peer]?.isWriting = false
        case nil:
            break
        }
    }

    private mutating func remember(_ contacts: [NodeContact], near target: NodeID) {
        guard !contacts.isEmpty else { return }
        if near.count >= Self.mostRemembered, near[target] == nil { near.removeAll() }
        near[target] = contacts
    }

    // MARK: Presence

    /// Leaves records in a slot, in place of what was read there.
    ///
    /// - Parameter isLast: they say that we leave.
    mutating func write(
        _ records: [[UInt8]], day: Int, slot: UInt8, after sequence: Int64, isLast: Bool = false, wall: Double,
        now: Instant
    ) {
        guard let place = slots.first(where: { $0.day == day }),
            let item = place.item(
                records, slot: slot,
                sequence: max(sequence == .max ? sequence : sequence + 1, Int64(max(0, wall))))
        else { return }
        let id = node.put(item, near: near[item.target] ?? [], now: now)
        purposes[id] = .writeSlot(item.target)
        if isLast { withdrawals.insert(id) }
    }

    /// Whether records that say that we leave are under way.
    var isWithdrawing: Bool { !withdrawals.isEmpty }

    // MARK: Mail

    /// The run of a member is known: it can be written to.
    mutating func openMailbox(of peer: PeerID, _ keys: MailboxKeys) { mailboxes[peer] = Mailbox(keys: keys) }

    mutating func closeMailbox(of peer: PeerID) { mailboxes[peer] = nil }

    /// Whether a signal to a member can be left in its mailbox.
    func carries(to peer: PeerID) -> Bool { isConnected && mailboxes[peer] != nil }

    /// Whether signals of a member are expected in its mailbox.
    mutating func watch(_ peer: PeerID, _ isWatched: Bool, now: Instant) {
        guard let mailbox = mailboxes[peer], mailbox.isWatched != isWatched else { return }
        if isWatched { mailboxes[peer]?.hurry(now: now) } else { mailboxes[peer]?.stop() }
    }

    /// Leaves a signal for a member.
    mutating func post(_ letter: Letter, to peer: PeerID, wall: Double, now: Instant) {
        guard mailboxes[peer] != nil else { return }
        mailboxes[peer]?.add(letter, now: now)
        mailboxes[peer]?.hurry(now: now)
        writeMail(to: peer, wall: wall, now: now)
    }

    private mutating func writeMail(to peer: PeerID, wall: Double, now: Instant) {
        guard isConnected, let mailbox = mailboxes[peer], mailbox.hasUnwritten, !mailbox.isWriting,
            let item = mailboxes[peer]?.item(wall: wall)
        else { return }
        mailboxes[peer]?.isWriting = true
        let id = node.put(item, near: near[item.target] ?? [], now: now)
        purposes[id] = .writeMail(peer)
    }

    private mutating func read(_ item: MutableItem, from peer: PeerID, now: Instant) {
        do throws(Refusal) {
            guard let letters = try mailboxes[peer]?.open(item), !letters.isEmpty else { return }
            events.append(.letters(peer, letters))
        } catch {
            events.append(.refused(error))
        }
    }
}
