import SwarmBase

/// Requests and byte streams between members, and what came of them: a request is carried out once at most and ends once, a byte stream brings what
/// was written and nothing else, and both end with the run of either member, and not before.
struct ExchangeLedger {
    typealias Pair = DeliveryLedger.Pair

    /// One byte stream, as both ends see it.
    private struct ByteStream {
        let size: Int
        let begunAt: Instant
        var written = 0
        var read = 0
        /// The writer knows that all has come.
        var hasArrived = false
        /// The reader has come to the end.
        var isRead = false
    }

    /// How long it may take until one notices that another has ended or runs anew.
    private static let noticing = Duration.seconds(90)

    private var next = 0
    /// Whom each request is between, which is not answered; by what names it.
    private var requests: [Int: (pair: Pair, id: UInt64, begunAt: Instant, hasLimit: Bool)] = [:]
    /// When the last run of each member that has ended did so.
    private var endedAt: [Int: Instant] = [:]
    private var carriedOut: Set<Int> = []
    private var streams: [Int: (pair: Pair, id: UInt64, stream: ByteStream)] = [:]
    /// How many requests and byte streams came to a good end, and how many ended with a run.
    private(set) var completed = 0
    private(set) var interrupted = 0
    var problems: [String] { noted.all }
    private var noted = ProblemList()

    /// How many must still end.
    var outstanding: Int { requests.count + streams.count }

    /// What must have ended and has not.
    var missing: [String] {
        requests.sorted { $0.key < $1.key }.map {
            "request \($0.key) of \($0.value.pair.from) to \($0.value.pair.to) has not ended"
        }
            + streams.sorted { $0.key < $1.key }.map { entry in
                let (pair, _, stream) = entry.value
                return
                    "byte stream \(entry.key) of \(pair.from) to \(pair.to) has not ended: \(stream.written) of \(stream.size) written, \(stream.read) read"
            }
    }

    /// What names the next request or byte stream.
    mutating func name() -> Int {
        next += 1
        return next
    }

    private mutating func note(_ problem: String, at now: Instant) { noted.note(problem, at: now) }

    // MARK: Requests

    /// What a request says: its name, and so much more.
    static func payload(_ name: Int, size: Int) -> [UInt8] {
        var writer = ByteWriter(capacity: 8 + size)
        writer.integer(UInt64(name))
        for offset in 0..<size { writer.integer(byte(of: name, at: offset)) }
        return writer.bytes
    }

    mutating func asked(_ name: Int, id: UInt64, of pair: Pair, hasLimit: Bool, at now: Instant) {
        requests[name] = (pair, id, now, hasLimit)
    }

    /// A member was asked.
    ///
    /// - Returns: what it answers.
    mutating func carriesOut(_ payload: [UInt8], at now: Instant) -> [UInt8] {
        var reader = ByteReader(payload)
        let name = (reader.integer() as UInt64?).map { Int(clamping: $0) } ?? 0
        if !carriedOut.insert(name).inserted { note("request \(name) was carried out twice", at: now) }
        return payload.reversed()
    }

    /// A request has ended.
    ///
    /// - Parameter answer: `nil` when none came.
    mutating func ended(id: UInt64, of pair: Pair, answer: [UInt8]?, at now: Instant) {
        guard let (name, request) = requests.first(where: { $0.value.pair == pair && $0.value.id == id }) else {
            return note("a request of \(pair.from) to \(pair.to) ended that is none", at: now)
        }
        requests[name] = nil
        guard let answer else {
            interrupted += 1
            if !request.hasLimit, !isExcused(pair, since: request.begunAt) {
                note("request \(name) of \(pair.from) to \(pair.to) ended, though both run", at: now)
            }
            return
        }
        completed += 1
        if answer.reversed() != Self.payload(name, size: answer.count - 8) {
            note("request \(name) was not answered with what it asked for", at: now)
        }
        if !carriedOut.contains(name) { note("request \(name) was answered, and not carried out", at: now) }
    }

    // MARK: Byte streams

    /// The byte at a place of a stream.
    static func byte(of name: Int, at offset: Int) -> UInt8 {
        let mixed = UInt64(truncatingIfNeeded: name &* 1_000_003 &+ offset) &* 0x9e37_79b9_7f4a_7c15
        return UInt8(truncatingIfNeeded: mixed >> 56)
    }

    mutating func opened(_ name: Int, id: UInt64, of pair: Pair, size: Int, at now: Instant) {
        streams[name] = (pair, id, ByteStream(size: size, begunAt: now))
    }

    /// The stream that a member writes under that id; `nil` when it is over.
    func written(id: UInt64, of pair: Pair) -> (name: Int, written: Int, size: Int)? {
        streams.first { $0.value.pair == pair && $0.value.id == id }
            .map { ($0.key, $0.value.stream.written, $0.value.stream.size) }
    }

    /// The bytes from there on, at most so many.
    static func bytes(of name: Int, from offset: Int, to end: Int) -> [UInt8] {
        (offset..<end).map { byte(of: name, at: $0) }
    }

    mutating func wrote(_ count: Int, of name: Int) { streams[name]?.stream.written += count }

    mutating func read(_ bytes: [UInt8], of name: Int, at now: Instant) {
        // One whose writer has crashed may still bring what was written before.
        guard let stream = streams[name]?.stream else { return }
        if bytes != Self.bytes(of: name, from: stream.read, to: stream.read + bytes.count) {
            note("byte stream \(name) brought at \(stream.read) what was not written", at: now)
        }
        streams[name]?.stream.read += bytes.count
        if stream.read + bytes.count > stream.size { note("byte stream \(name) brought too much", at: now) }
    }

    /// The reader has come to the end.
    mutating func readAll(_ name: Int, at now: Instant) {
        guard let stream = streams[name]?.stream else { return }
        if stream.read != stream.size {
            note("byte stream \(name) ended after \(stream.read) of \(stream.size)", at: now)
        }
        streams[name]?.stream.isRead = true
        close(name)
    }

    /// The writer knows that all has come.
    mutating func arrived(_ name: Int) {
        streams[name]?.stream.hasArrived = true
        close(name)
    }

    private mutating func close(_ name: Int) {
        guard let stream = streams[name]?.stream, stream.hasArrived, stream.isRead else { return }
        streams[name] = nil
        completed += 1
    }

    /// A stream ended for one of its ends: for both, as soon as the other hears of it.
    mutating func interrupted(_ name: Int, at now: Instant) {
        guard let (pair, _, stream) = streams.removeValue(forKey: name) else { return }
        interrupted += 1
        if !isExcused(pair, since: stream.begunAt) {
            note("byte stream \(name) of \(pair.from) to \(pair.to) ended, though both run", at: now)
        }
    }

    // MARK: Crashes

    /// A member's run is over: with it end its requests, and the streams that it writes or reads. Who asked it is told by its engine.
    mutating func crashed(_ member: Int, at now: Instant) {
        endedAt[member] = now
        for (name, entry) in requests where entry.pair.from == member {
            requests[name] = nil
            interrupted += 1
        }
        for (name, entry) in streams where entry.pair.from == member || entry.pair.to == member {
            streams[name] = nil
            interrupted += 1
        }
    }

    /// Whether a run of one of the two has ended since something began, or so shortly before that the other did not know.
    private func isExcused(_ pair: Pair, since begin: Instant) -> Bool {
        [pair.from, pair.to].contains { endedAt[$0].map { $0 >= begin - Self.noticing } ?? false }
    }
}
