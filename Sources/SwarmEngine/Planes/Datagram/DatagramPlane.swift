import SwarmBase

/// Addresses at which some plane says that a member is, and those at which one has answered.
///
/// To each a hello is sent, repeated ever later. Whoever answers has proved that it receives there, and signals go there
/// from then on. Two members behind NATs that say hello to each other open the way for both.
struct DatagramPlane {
    /// How many addresses are kept in mind.
    static let mostTargets = 256
    /// The first hello is repeated after this, each further one after twice the time before.
    static let firstWait: Duration = .milliseconds(500)
    /// The longest time between two hellos to an address that once answered.
    static let longestWait: Duration = .seconds(300)
    /// So many hellos to an address that has never answered; its plane may name it anew.
    static let mostAttempts = 6
    /// How many addresses of one member are used for signals: the latest.
    static let mostEndpointsOfMember = 4
    /// How long the member of an address that has said good-bye is left alone.
    static let afterGoodBye: Duration = .seconds(30)

    struct Target {
        /// Which plane told of the address first.
        var plane: Plane
        /// What our hellos say, and an answer repeats.
        let token: UInt64
        /// What theirs said last; 0 when there was none.
        var echo: UInt64 = 0
        /// Who spoke there last.
        var peer: PeerID?
        /// It has repeated our token: what we send arrives.
        var isValidated = false
        /// It answered once, in this run or in an earlier one: it is tried for ever.
        var isKept = false
        /// The address is our own.
        var isOwn = false
        var attempts = 0
        var helloAt: Instant?
        var lastHeard: Instant?
    }

    private var entropy: Entropy
    private(set) var targets: [TransportAddress: Target] = [:] {
        didSet { nextTimeout = targets.values.reduce(nil) { .earlier($0, $1.helloAt) } }
    }
    /// When the next hello is due. Asked for after every packet, so it is found anew only when an address changes.
    private(set) var nextTimeout: Instant?
    /// Where members have answered, the latest first.
    private var endpoints: [PeerID: [TransportAddress]] = [:]
    private var reassembly = SignalingReassembly()
    /// Hellos that are sent: a plane may name hundreds of addresses at once.
    private var sent = TokenBucket(rate: 20, burst: 60)
    /// Hellos and signals that are opened: each costs some hundred microseconds.
    private var opened = TokenBucket(rate: 100, burst: 200)

    init(entropy: Entropy) { self.entropy = entropy }

    // MARK: What planes tell

    /// A member may be at this address.
    ///
    /// - Parameter isKept: it was there in an earlier run; it is tried for ever.
    mutating func seek(_ address: TransportAddress, plane: Plane, isKept: Bool = false, now: Instant) {
        guard address.isUsable else { return }
        if var target = targets[address] {
            guard !target.isValidated, target.helloAt == nil, !target.isOwn else { return }
            target.attempts = 0
            target.helloAt = now
            targets[address] = target
            return
        }
        guard makeRoom() else { return }
        targets[address] = Target(plane: plane, token: newToken(), isKept: isKept, helloAt: now)
    }

    /// The way to a member is lost: its addresses are tried anew, but for those that are being tried.
    mutating func seekAgain(_ peer: PeerID, now: Instant) {
        for address in endpoints[peer] ?? [] where targets[address]?.helloAt == nil {
            rearm(address, at: now, attempts: 0)
        }
    }

    /// What was said to an address was not taken: it is said anew at once, and repeated from the beginning.
    mutating func sayAgain(_ address: TransportAddress, now: Instant) { rearm(address, at: now, attempts: 0) }

    /// A member said good-bye: it is back when it says hello, but it may have missed our address.
    mutating func left(_ peer: PeerID, now: Instant) {
        for (address, target) in targets where target.peer == peer {
            rearm(address, at: now + Self.afterGoodBye, attempts: Self.mostAttempts)
        }
        endpoints[peer] = nil
    }

    /// The network changed: nothing that was true of addresses has to be so now.
    mutating func networkChanged(now: Instant) {
        for address in Array(targets.keys) where targets[address]?.isOwn == false {
            rearm(address, at: now, attempts: 0)
        }
    }

    private mutating func rearm(_ address: TransportAddress, at: Instant, attempts: Int) {
        targets[address]?.isValidated = false
        targets[address]?.attempts = attempts
        targets[address]?.helloAt = at
    }

    // MARK: Hellos

    /// The next hello that is due: where to, and what it says.
    mutating func pollHello(now: Instant) -> (address: TransportAddress, target: Target)? {
        guard let deadline = nextTimeout, now >= deadline,
            let address = targets.lazy.filter({ $0.value.helloAt == deadline }).map(\.key).min(),
            var target = targets[address]
        else { return nil }
        guard sent.take(now: now) else {
            targets[address]?.helloAt = now + .milliseconds(100)
            return nil
        }
        target.attempts += 1
        let isGivenUp = !target.isKept && target.attempts >= Self.mostAttempts
        let wait = min(Self.firstWait * (1 << min(target.attempts - 1, 12)), Self.longestWait)
        target.helloAt = isGivenUp ? nil : now + wait * Double.random(in: 0.75...1.25, using: &entropy)
        if target.attempts >= Self.mostAttempts, let peer = target.peer {
            // It has been silent for half a minute: others may know better.
            endpoints[peer]?.removeAll { $0 == address }
            if endpoints[peer]?.isEmpty == true { endpoints[peer] = nil }
        }
        targets[address] = target
        return (address, target)
    }

    /// A hello came whose signature is good.
    ///
    /// - Returns: the answer to send, if one is wanted, and whether the address has just been validated.
    mutating func received(
        _ hello: Hello, from address: TransportAddress, now: Instant
    ) -> (answer: Target?, isNewlyValidated: Bool) {
        if targets[address] == nil {
            guard makeRoom() else { return (nil, false) }
            targets[address] = Target(plane: hello.plane, token: newToken())
        }
        guard var target = targets[address] else { return (nil, false) }
        target.peer = hello.presence.peer
        target.echo = hello.token
        target.lastHeard = now
        var isNewlyValidated = false
        if hello.echo == target.token {
            isNewlyValidated = !target.isValidated
            target.isValidated = true
            target.isKept = true
            target.attempts = 0
            target.helloAt = nil
            noteEndpoint(address, of: hello.presence.peer)
        } else if !target.isValidated, target.helloAt == nil {
            target.attempts = 0
            target.helloAt = now + Self.firstWait
        }
        targets[address] = target
        return (hello.wantsAnswer ? target : nil, isNewlyValidated)
    }

    /// The address turned out to be our own.
    mutating func isOwn(_ address: TransportAddress) {
        guard targets[address] != nil || makeRoom() else { return }
        var target = targets[address] ?? Target(plane: .lan, token: newToken())
        target.isOwn = true
        target.helloAt = nil
        targets[address] = target
    }

    private mutating func noteEndpoint(_ address: TransportAddress, of peer: PeerID) {
        var known = (endpoints[peer] ?? []).filter { $0 != address }
        known.insert(address, at: 0)
        endpoints[peer] = Array(known.prefix(Self.mostEndpointsOfMember))
    }

    // MARK: Messages

    /// Takes a datagram that begins with `S`.
    ///
    /// - Returns: the whole message. Pieces are put together for those only who have said hello, or were said hello to.
    mutating func receive(_ datagram: [UInt8], from source: TransportAddress, now: Instant) -> [UInt8]? {
        guard let piece = SignalingDatagram(parsing: datagram) else { return nil }
        guard piece.count == 1 || targets[source] != nil else { return nil }
        return reassembly.insert(piece, from: source, now: now)
    }

    /// Whether one more message may be opened now.
    mutating func mayOpen(now: Instant) -> Bool { opened.take(now: now) }

    /// Cuts a message into datagrams.
    mutating func cut(_ message: [UInt8]) -> [[UInt8]] {
        SignalingDatagram.cut(message, message: UInt32(truncatingIfNeeded: entropy.next()))
    }

    /// Where a member answered last.
    func endpoint(of peer: PeerID) -> TransportAddress? { endpoints[peer]?.first }

    /// Where a member has answered, the latest first.
    func endpoints(of peer: PeerID) -> [TransportAddress] { endpoints[peer] ?? [] }

    /// The plane that told of an address.
    func plane(of address: TransportAddress) -> Plane { targets[address]?.plane ?? .mesh }

    // MARK: Inside

    /// Never 0, which says that there is none.
    private mutating func newToken() -> UInt64 { max(1, entropy.next()) }

    /// Makes room for one more address: those go first that never answered, and of these those that were tried most.
    private mutating func makeRoom() -> Bool {
        guard targets.count >= Self.mostTargets else { return true }
        func worth(_ target: Target) -> Int {
            target.isValidated ? 1 << 20 : target.isKept ? 1 << 10 : Self.mostAttempts - target.attempts
        }
        guard let least = targets.min(by: { (worth($0.value), $0.key) < (worth($1.value), $1.key) }),
            !least.value.isValidated
        else { return false }
        targets[least.key] = nil
        if let peer = least.value.peer { endpoints[peer]?.removeAll { $0 == least.key } }
        return true
    }
}
