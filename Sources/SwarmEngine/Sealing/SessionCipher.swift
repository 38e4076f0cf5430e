import Crypto
import SwarmBase

/// When the keys of a session are replaced (docs/protocol.md, "Rekeying").
public struct RekeyingConfiguration: Sendable {
    /// How long the keys of an epoch are used.
    public var longestEpoch: Duration = .seconds(3600)
    /// How many bytes are sealed and opened with them.
    public var largestEpoch = 1 << 30
    /// How long the former keys still open what was on its way.
    public var grace: Duration = .seconds(30)
    /// The longest wait before a frame without an answer is repeated; the first is 1 s.
    public var longestWait: Duration = .seconds(60)
    /// How often a frame is sent without an answer before the exchange is given up for an epoch's length.
    public var attempts = 10

    public init() {}
}

/// Seals and opens the packets of one pair of runs, with keys that are replaced again and again by those of a fresh
/// exchange: an epoch each.
///
/// Sans-IO: packets and frames go in, sealed packets and frames come out; `handleTimeout` no later than `nextTimeout`.
struct SessionCipher: Sendable {
    private struct Epoch: Sendable {
        let number: UInt32
        var cipher: EnvelopeCipher
        let root: SymmetricKey
        let begunAt: Instant
        var bytes = 0
    }

    private enum Exchange: Sendable {
        /// Of the lower one: its fresh key is offered.
        case offered(SessionKeyPair, RekeyFrame)
        /// Of the lower one: it has switched, and does not know whether the higher one has.
        case switched(RekeyFrame)
    }

    private struct Attempt: Sendable {
        var exchange: Exchange
        var at: Instant
        var count = 0
    }

    private let configuration: RekeyingConfiguration
    private let parties: SessionParties
    private let identity: Identity
    /// Kept as long as the session keys are, from which it follows.
    private var first: Epoch
    /// The epoch that we seal in, if it is not the first.
    private var current: Epoch?
    private var former: (epoch: Epoch, until: Instant)?
    /// When we went to the epoch that we seal in.
    private var switchedAt: Instant
    /// Of the higher one: the epoch that it has answered for and does not seal in yet, and what it answered.
    private var next: (epoch: Epoch, offered: SessionPublicKey, answer: RekeyFrame)?
    private var attempt: Attempt?
    private var restAt: Instant?
    private var frames: [RekeyFrame] = []

    init(
        own: SessionKeyPair, peer: SessionPublicKey, parties: SessionParties, identity: Identity,
        configuration: RekeyingConfiguration = RekeyingConfiguration(), firstCounter: UInt64 = 0, now: Instant
    ) throws(Refusal) {
        let keys = try EnvelopeKeys(own: own, peer: peer, parties: parties)
        self.parties = parties
        self.identity = identity
        self.configuration = configuration
        first = Epoch(
            number: 0, cipher: EnvelopeCipher(keys, firstCounter: firstCounter), root: keys.root, begunAt: now)
        switchedAt = now
    }

    /// The number of the epoch that we seal in.
    var epoch: UInt32 { (current ?? first).number }

    /// The names of all keys that the other side may have sealed with.
    var peerKeyIDs: Set<UInt64> {
        Set([first, current, former?.epoch, next?.epoch].compactMap { $0?.cipher.peerKeyID })
    }

    // MARK: Packets

    /// key id ‖ counter ‖ sealed packet ‖ tag.
    mutating func seal(_ packet: [UInt8]) throws(Refusal) -> [UInt8] {
        if current != nil {
            current?.bytes += packet.count
            if let sealed = try current?.cipher.seal(packet) { return sealed }
        }
        return try first.cipher.seal(packet)
    }

    /// Opens what `seal` of the other side made; each counter is accepted once.
    mutating func open(_ envelope: [UInt8], now: Instant) throws(Refusal) -> [UInt8] {
        let id = EnvelopeCipher.keyID(of: envelope)
        if id == current?.cipher.peerKeyID, let packet = try current?.cipher.open(envelope) {
            current?.bytes += envelope.count
            if parties.ownIsLower, case .switched = attempt?.exchange { attempt = nil }
            return packet
        }
        if id == next?.epoch.cipher.peerKeyID, let packet = try next?.epoch.cipher.open(envelope) {
            switchToNext(now: now)
            return packet
        }
        if let former, now < former.until, id == former.epoch.cipher.peerKeyID,
            let packet = try self.former?.epoch.cipher.open(envelope)
        {
            return packet
        }
        let packet = try first.cipher.open(envelope)
        if current != nil, now >= switchedAt + configuration.grace { startOver(now: now) }
        return packet
    }

    /// The other side has forgotten what we agreed on.
    private mutating func startOver(now: Instant) {
        current = nil
        former = nil
        next = nil
        attempt = nil
        begin(now: now)
    }

    // MARK: Exchanges

    /// The lower one begins an exchange, if none is under way.
    mutating func begin(now: Instant) {
        guard parties.ownIsLower, attempt == nil else { return }
        let base = current ?? first
        let key = SessionKeyPair()
        let number = base.number + 1
        let signed = RekeyFrame.offered(
            parties, keyID: base.cipher.keyID, epoch: number, key: key.publicKey)
        guard let signature = try? identity.sign(signed) else { return }
        restAt = nil
        attempt = Attempt(
            exchange: .offered(key, .rekey(epoch: number, key: key.publicKey, signature: signature)), at: now)
        handleTimeout(now: now)
    }

    /// Takes what the other side says of keys; it came by a path that is authentic.
    mutating func receive(_ frame: RekeyFrame, now: Instant) throws(Refusal) {
        switch frame {
        case .rekey(let epoch, let key, let signature):
            guard !parties.ownIsLower else { throw .malformed }
            try answer(epoch: epoch, offered: key, signature: signature, now: now)
        case .rekeyed(let epoch, let key, let signature):
            try finish(epoch: epoch, answered: key, signature: signature, now: now)
        case .switched(let epoch):
            if parties.ownIsLower {
                if epoch == self.epoch, case .switched = attempt?.exchange { attempt = nil }
            } else {
                if epoch == next?.epoch.number { switchToNext(now: now) }
                if epoch == self.epoch, epoch > 0 { say(.switched(epoch: epoch)) }
            }
        }
    }

    private mutating func answer(
        epoch: UInt32, offered key: SessionPublicKey, signature: [UInt8], now: Instant
    ) throws(Refusal) {
        let base = current ?? first
        // One of an epoch that is over was repeated on its way.
        guard epoch == base.number + 1 else { return }
        if let next, next.offered == key { return say(next.answer) }
        let keyID = base.cipher.peerKeyID
        guard
            parties.lower.verifies(
                signature, of: RekeyFrame.offered(parties, keyID: keyID, epoch: epoch, key: key))
        else { throw .forged }
        let own = SessionKeyPair()
        let keys = try EnvelopeKeys(own: own, peer: key, root: base.root, epoch: epoch, parties: parties)
        let signed = RekeyFrame.answered(parties, keyID: keyID, epoch: epoch, offered: key, key: own.publicKey)
        guard let signature = try? identity.sign(signed) else { return }
        let answer = RekeyFrame.rekeyed(epoch: epoch, key: own.publicKey, signature: signature)
        next = (
            Epoch(number: epoch, cipher: EnvelopeCipher(keys), root: keys.root, begunAt: now), key, answer
        )
        say(answer)
    }

    private mutating func finish(
        epoch: UInt32, answered key: SessionPublicKey, signature: [UInt8], now: Instant
    ) throws(Refusal) {
        guard case .offered(let own, .rekey(epoch, let offered, _)) = attempt?.exchange else { return }
        let base = current ?? first
        let signed = RekeyFrame.answered(
            parties, keyID: base.cipher.keyID, epoch: epoch, offered: offered, key: key)
        guard parties.higher.verifies(signature, of: signed) else { throw .forged }
        let keys = try EnvelopeKeys(own: own, peer: key, root: base.root, epoch: epoch, parties: parties)
        switchTo(
            Epoch(number: epoch, cipher: EnvelopeCipher(keys), root: keys.root, begunAt: now), now: now)
        attempt = Attempt(exchange: .switched(.switched(epoch: epoch)), at: now)
        handleTimeout(now: now)
    }

    /// The lower one seals in the next epoch: so does the higher one.
    private mutating func switchToNext(now: Instant) {
        guard let epoch = next?.epoch else { return }
        next = nil
        switchTo(epoch, now: now)
    }

    private mutating func switchTo(_ epoch: Epoch, now: Instant) {
        former = current.map { ($0, now + configuration.grace) }
        current = epoch
        switchedAt = now
    }

    private mutating func say(_ frame: RekeyFrame) {
        // Repetitions that nobody has taken yet say nothing more.
        if !frames.contains(frame) { frames.append(frame) }
    }

    /// The next frame for the other side.
    mutating func pollFrame() -> RekeyFrame? { frames.isEmpty ? nil : frames.removeFirst() }

    // MARK: Time

    mutating func handleTimeout(now: Instant) {
        if let former, now >= former.until { self.former = nil }
        if let attempt, now >= attempt.at { repeatFrame(of: attempt, now: now) }
        if attempt == nil, let due = renewalAt, now >= due { begin(now: now) }
    }

    private mutating func repeatFrame(of attempt: Attempt, now: Instant) {
        guard attempt.count < configuration.attempts else {
            self.attempt = nil
            restAt = now + configuration.longestEpoch
            return
        }
        switch attempt.exchange {
        case .offered(_, let frame), .switched(let frame): say(frame)
        }
        self.attempt?.count += 1
        self.attempt?.at = now + min(.seconds(1 << min(attempt.count, 16)), configuration.longestWait)
    }

    /// When the lower one begins anew; `nil` before the first exchange, which `begin` starts.
    private var renewalAt: Instant? {
        guard parties.ownIsLower else { return nil }
        if let restAt { return restAt }
        guard let current else { return nil }
        return current.bytes >= configuration.largestEpoch ? .zero : current.begunAt + configuration.longestEpoch
    }

    /// When `handleTimeout` is due.
    var nextTimeout: Instant? {
        .earlier(former?.until, attempt == nil ? renewalAt : attempt?.at)
    }
}
