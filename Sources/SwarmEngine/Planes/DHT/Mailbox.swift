import Bencode
import DHT
import SwarmBase

/// Two items of the DHT, one for each direction, through which two members exchange signals when nothing faster carries them.
struct Mailbox: Sendable {
    /// When the other's item is read again: soon at first, then ever later.
    static let waits: [Duration] = [1, 2, 2, 3, 4, 6, 8, 12, 16, 24, 30].map { .seconds($0) }
    /// A letter is no longer of interest then: its signal is stale.
    static let letterLife: Duration = .seconds(110)
    private static let mostSeen = 64

    let keys: MailboxKeys
    /// When to read; `nil` while nothing is expected.
    var readAt: Instant?
    var isReading = false
    private(set) var reads = 0
    /// The newest item of the other's that was read.
    var readSequence: Int64?
    private var letters: [(letter: Letter, at: Instant)] = []
    /// What is written last; grows.
    private var sequence: Int64 = 0
    var isWriting = false
    private(set) var hasUnwritten = false
    private var seen: [UInt64] = []

    init(keys: MailboxKeys) { self.keys = keys }

    var isWatched: Bool { readAt != nil || isReading }

    /// Begins to read, or reads soon again.
    mutating func hurry(now: Instant) {
        reads = 0
        if !isReading { readAt = now + Self.waits[0] }
    }

    mutating func stop() { readAt = nil }

    /// The next reading begins.
    mutating func reading() {
        readAt = nil
        isReading = true
    }

    mutating func hasRead(now: Instant) {
        isReading = false
        reads += 1
        readAt = now + Self.waits[min(reads, Self.waits.count - 1)]
    }

    mutating func add(_ letter: Letter, now: Instant) {
        letters.removeAll { now - $0.at > Self.letterLife }
        // A description takes the place of those before it.
        if letter.kind <= 2 { letters.removeAll { $0.letter.kind <= 3 } }
        letters.append((letter, now))
        hasUnwritten = true
    }

    /// The item as it is to be written now.
    mutating func item(wall: Double) -> DHTItem? {
        hasUnwritten = false
        guard let sealed = Letter.sealed(letters.map(\.letter), with: keys.outgoing.seal) else { return nil }
        sequence = max(sequence + 1, Int64(max(0, wall)))
        return MutableItem(.bytes(sealed), sequence: sequence, signedBy: keys.outgoing.signer).map { .mutable($0) }
    }

    /// The letters of an item that were not read before.
    mutating func open(_ item: MutableItem) throws(Refusal) -> [Letter] {
        readSequence = max(readSequence ?? 0, item.sequence)
        guard let sealed = (try? BencodeDocument(decoding: item.value))?.root.bytes else { throw .malformed }
        let new = try Letter.opened(Array(sealed), with: keys.incoming.seal).filter { !seen.contains($0.id) }
        seen = (seen + new.map(\.id)).suffix(Self.mostSeen)
        return new
    }
}
