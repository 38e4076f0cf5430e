import DequeModule
import SwarmBase

/// One byte stream between two members: two directions, each with its own offsets.
struct ByteStream: Sendable {
    let id: UInt64
    let priority: MessagePriority
    var sending: SendingDirection
    var receiving: ReceivingDirection
    /// Both have come whole, and the application knows.
    var isOver: Bool { sending.isOver && receiving.isOver }
}

/// What is written to a byte stream and has not come yet.
struct SendingDirection: Sendable {
    /// How much may be written before credit has been given.
    static let firstLimit: UInt64 = 64 * 1024

    private struct Chunk: Sendable {
        var offset: UInt64
        var bytes: [UInt8]
        var isEnd = false
        var end: UInt64 { offset + UInt64(bytes.count) }
    }

    private var chunks: Deque<Chunk> = []
    /// Counts chunks: the number of the first that is held.
    private(set) var first: UInt64 = 0
    /// Chunks before this have been sent once.
    private var sentBefore: UInt64 = 0
    var cursors = CarrierTable<UInt64>(0)
    /// How much was written, and how much of it has come.
    private(set) var written: UInt64 = 0
    private(set) var acknowledged: UInt64 = 0
    /// How far the reader takes bytes.
    private(set) var limit: UInt64
    private(set) var hasEnded = false
    /// Everything has come, the end too.
    private(set) var isOver = false
    /// The application was told that there is no room.
    var isBlocked = false

    init(limit: UInt64) { self.limit = limit }

    /// Bytes that have not come.
    var held: Int { Int(written - acknowledged) }

    /// Adds bytes, as many as fit under `most`.
    ///
    /// - Returns: how many it took.
    mutating func write(_ bytes: ArraySlice<UInt8>, most: Int) -> Int {
        guard !hasEnded else { return 0 }
        let count = min(bytes.count, max(0, most - held))
        var rest = bytes.prefix(count)
        if let last = chunks.last, first + UInt64(chunks.count) > sentBefore {
            // What has not left yet takes more.
            let part = rest.prefix(Outbound.fragmentSize - last.bytes.count)
            chunks[chunks.count - 1].bytes += part
            rest = rest.dropFirst(part.count)
            written += UInt64(part.count)
        }
        while !rest.isEmpty {
            let part = rest.prefix(Outbound.fragmentSize)
            chunks.append(Chunk(offset: written, bytes: Array(part)))
            written += UInt64(part.count)
            rest = rest.dropFirst(part.count)
        }
        return count
    }

    /// Nothing more will be written.
    mutating func finish() {
        guard !hasEnded else { return }
        hasEnded = true
        chunks.append(Chunk(offset: written, bytes: [], isEnd: true))
    }

    /// The number of the next chunk that is to go by a path now.
    func next(on carrier: Carrier) -> UInt64? {
        let number = max(cursors[carrier], first)
        guard number < first + UInt64(chunks.count), chunks[Int(number - first)].end <= limit else { return nil }
        return number
    }

    func size(of number: UInt64) -> Int {
        Frame.overhead + StreamPiece.headerSize + chunks[Int(number - first)].bytes.count
    }

    mutating func send(_ number: UInt64, of id: UInt64, on carrier: Carrier) -> StreamPiece {
        cursors[carrier] = number + 1
        sentBefore = max(sentBefore, number + 1)
        let chunk = chunks[Int(number - first)]
        return StreamPiece(id: id, offset: chunk.offset, isEnd: chunk.isEnd, payload: chunk.bytes)
    }

    /// - Returns: whether the reader says what can be.
    mutating func credit(received: UInt64, limit: UInt64) -> Bool {
        guard received <= written else { return false }
        self.limit = max(self.limit, limit)
        acknowledged = max(acknowledged, received)
        while let chunk = chunks.first, !chunk.isEnd, chunk.end <= acknowledged {
            chunks.removeFirst()
            first += 1
        }
        return true
    }

    /// The reader has all of it.
    mutating func finished() {
        acknowledged = written
        first += UInt64(chunks.count)
        chunks.removeAll()
        isOver = true
    }
}

/// What has come of a byte stream and was not read yet.
struct ReceivingDirection: Sendable {
    /// How many pieces that came early are kept.
    private static let mostEarly = 1024

    private var early: [UInt64: [UInt8]] = [:]
    private var ready: Deque<[UInt8]> = []
    /// Everything before this has come.
    private(set) var received: UInt64 = 0
    /// How much the application has taken.
    private(set) var consumed: UInt64 = 0
    /// How far the writer may go.
    private(set) var limit: UInt64
    private var end: UInt64?
    /// The writer was told that it has come whole.
    private(set) var wasConfirmed = false
    /// The application has read to the end.
    private(set) var isOver = false

    init(limit: UInt64) { self.limit = limit }

    /// Takes a piece.
    ///
    /// - Returns: whether it is within the rules.
    mutating func receive(_ piece: StreamPiece) -> Bool {
        let pieceEnd = piece.offset + UInt64(piece.payload.count)
        guard pieceEnd <= limit, end.map({ pieceEnd <= $0 }) ?? true else { return false }
        if piece.isEnd {
            guard end ?? pieceEnd == pieceEnd, received <= pieceEnd else { return false }
            end = pieceEnd
        }
        guard pieceEnd > received else { return true }
        guard piece.offset <= received else {
            if early.count < Self.mostEarly, early[piece.offset]?.count ?? 0 < piece.payload.count {
                early[piece.offset] = piece.payload
            }
            return true
        }
        take(piece.payload, at: piece.offset)
        while !early.isEmpty {
            guard let payload = early.removeValue(forKey: received) else { break }
            take(payload, at: received)
        }
        return true
    }

    private mutating func take(_ payload: [UInt8], at offset: UInt64) {
        let known = Int(received - offset)
        ready.append(known == 0 ? payload : Array(payload[known...]))
        received += UInt64(payload.count - known)
    }

    /// Whether all has come and the writer is to be told so, once.
    mutating func confirms() -> Bool {
        guard !wasConfirmed, end == received else { return false }
        wasConfirmed = true
        early.removeAll()
        return true
    }

    /// The next bytes; `nil` when there are none now.
    mutating func read() -> [UInt8]? {
        guard let bytes = ready.popFirst() else {
            if wasConfirmed { isOver = true }
            return nil
        }
        consumed += UInt64(bytes.count)
        return bytes
    }

    /// Whether something can be read, or the end.
    var isReadable: Bool { !ready.isEmpty || (wasConfirmed && !isOver) }

    /// Lets the writer go on.
    ///
    /// - Returns: whether it is worth telling.
    mutating func grant(window: Int) -> Bool {
        let next = consumed + UInt64(window)
        guard !wasConfirmed, next > limit, next - limit >= UInt64(window / 2) else { return false }
        limit = next
        return true
    }
}
