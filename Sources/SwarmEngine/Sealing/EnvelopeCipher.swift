import Crypto
import SwarmBase

/// Seals and opens the relayed packets of one pair of runs: AES-256-GCM, one key for each direction, a counter as nonce.
///
/// The keys are those of one epoch: see ``SessionCipher``.
struct EnvelopeCipher: Sendable {
    /// Names the key on the wire, so that the receiver finds it without knowing the sender.
    let keyID: UInt64
    /// The key id of what the peer sends.
    let peerKeyID: UInt64
    private let sendKey: SymmetricKey
    private let receiveKey: SymmetricKey
    private var nextCounter: UInt64
    private var window = ReplayWindow()

    /// - Parameter firstCounter: greater than any that was used before under these keys: the same two runs have the same
    ///   keys at their start, whenever they meet.
    init(_ keys: EnvelopeKeys, firstCounter: UInt64 = 0) {
        sendKey = keys.send
        receiveKey = keys.receive
        keyID = keys.sendID
        peerKeyID = keys.receiveID
        nextCounter = firstCounter
    }

    /// key id ‖ counter ‖ sealed packet ‖ tag.
    mutating func seal(_ packet: [UInt8]) throws(Refusal) -> [UInt8] {
        var header = ByteWriter(capacity: 32 + packet.count)
        header.integer(keyID)
        header.integer(nextCounter)
        guard let nonce = Self.nonce(nextCounter),
            let box = try? AES.GCM.seal(packet, using: sendKey, nonce: nonce, authenticating: header.bytes)
        else { throw .malformed }
        nextCounter += 1
        header.append(box.ciphertext)
        header.append(box.tag)
        return header.bytes
    }

    /// Opens what `seal` of the other side made; each counter is accepted once.
    mutating func open(_ envelope: [UInt8]) throws(Refusal) -> [UInt8] {
        var reader = ByteReader(envelope)
        guard let id: UInt64 = reader.integer(), let counter: UInt64 = reader.integer(), reader.remaining >= 16 else {
            throw .malformed
        }
        guard id == peerKeyID else { throw .notForUs }
        guard window.isNew(counter) else { throw .replayed }
        let rest = reader.rest()
        guard let nonce = Self.nonce(counter),
            let box = try? AES.GCM.SealedBox(nonce: nonce, ciphertext: rest.dropLast(16), tag: rest.suffix(16)),
            let packet = try? AES.GCM.open(box, using: receiveKey, authenticating: envelope.prefix(16))
        else { throw .forged }
        window.note(counter)
        return Array(packet)
    }

    /// The key id an envelope names: which session it belongs to.
    static func keyID(of envelope: [UInt8]) -> UInt64? {
        var reader = ByteReader(Array(envelope.prefix(8)))
        return reader.integer()
    }

    private static func nonce(_ counter: UInt64) -> AES.GCM.Nonce? {
        var writer = ByteWriter(capacity: 12)
        writer.integer(UInt32(0))
        writer.integer(counter)
        return try? AES.GCM.Nonce(data: writer.bytes)
    }
}

/// Which counters were seen, as in RFC 6479: the highest, and a bit for each of the 1,024 below it.
struct ReplayWindow: Sendable {
    private static let size: UInt64 = 1024
    private var highest: UInt64?
    private var bits = [UInt64](repeating: 0, count: Int(size / 64))

    func isNew(_ counter: UInt64) -> Bool {
        guard let highest, counter <= highest else { return true }
        guard highest - counter < Self.size else { return false }
        return bits[word(counter)] & bit(counter) == 0
    }

    mutating func note(_ counter: UInt64) {
        if let highest, counter > highest, counter - highest < Self.size {
            for skipped in highest + 1...counter { bits[word(skipped)] &= ~bit(skipped) }
        } else if counter > highest ?? 0 {
            for index in bits.indices { bits[index] = 0 }
        }
        highest = max(highest ?? 0, counter)
        bits[word(counter)] |= bit(counter)
    }

    private func word(_ counter: UInt64) -> Int { Int(counter % Self.size / 64) }
    private func bit(_ counter: UInt64) -> UInt64 { 1 << (counter % 64) }
}
