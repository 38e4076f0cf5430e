/// Both directions of stream re-configuration (RFC 6525 §5): one outgoing request at a time, and the memory of the
/// peer's last one.
struct StreamReset: Sendable {
    /// Our request under way.
    struct Request: Equatable, Sendable {
        var number: UInt32
        var lastTSN: UInt32
        var streams: [UInt16]
    }

    /// A reset the peer asked for before all its data had arrived.
    struct Deferred: Equatable, Sendable {
        var number: UInt32
        var lastTSN: TSN
        /// `nil` for all.
        var streams: [UInt16]?
    }

    /// What to do with the peer's request.
    enum Verdict: Equatable, Sendable {
        /// Perform it now.
        case perform
        /// Only answer.
        case answer(ReconfigurationResult)
    }

    /// As many as fit one packet.
    private static let maxStreamsPerRequest = 500

    /// Streams that are to be reset, not in a request yet.
    private var waiting: [UInt16] = []
    /// Those that wait and those in the current request.
    private var asked: Set<UInt16> = []
    private var nextNumber: UInt32
    /// The request that awaits its answer.
    private(set) var current: Request?
    /// Whether the current request is to be sent (again).
    var isDue = false
    /// How often it was sent without any answer.
    var attempts = 0

    private var expectedNumber: UInt32
    private var lastResult: ReconfigurationResult = .nothingToDo
    private var deferred: Deferred?

    /// Request numbers start at each side's initial TSN (§5).
    init(localInitialTSN: UInt32, peerInitialTSN: UInt32 = 0) {
        nextNumber = localInitialTSN
        expectedNumber = peerInitialTSN
    }

    /// The peer's first request number is known.
    mutating func expect(_ peerInitialTSN: UInt32) {
        expectedNumber = peerInitialTSN
        lastResult = .nothingToDo
        deferred = nil
    }

    /// No stream waits for its reset or for the answer to it.
    var isIdle: Bool { waiting.isEmpty && current == nil }

    /// The number of the peer's last request, for our own requests to repeat.
    var lastPeerNumber: UInt32 { expectedNumber &- 1 }

    // MARK: Outgoing

    /// Adds streams to the next request.
    mutating func enqueue(_ streams: [UInt16]) {
        for stream in streams where asked.insert(stream).inserted { waiting.append(stream) }
    }

    /// Starts a request for the waiting streams that are drained, unless one is under way.
    mutating func begin(lastTSN: UInt32, isDrained: (UInt16) -> Bool) {
        guard current == nil, !waiting.isEmpty else { return }
        var ready: [UInt16] = []
        var rest: [UInt16] = []
        for stream in waiting {
            if ready.count < Self.maxStreamsPerRequest, isDrained(stream) {
                ready.append(stream)
            } else {
                rest.append(stream)
            }
        }
        guard !ready.isEmpty else { return }
        waiting = rest
        current = Request(number: nextNumber, lastTSN: lastTSN, streams: ready)
        nextNumber &+= 1
        attempts = 0
        isDue = true
    }

    /// Takes the answer to the current request; one to another number is stale.
    ///
    /// - Returns: the finished request, or `nil` when there is none or it is to be asked again later.
    mutating func finish(number: UInt32, result: ReconfigurationResult) -> Request? {
        guard let request = current, request.number == number else { return nil }
        switch result {
        case .inProgress, .requestInProgress:
            attempts = 0
            return nil
        case .nothingToDo, .performed, .denied, .wrongStreamSequence, .badSequenceNumber:
            current = nil
            isDue = false
            asked.subtract(request.streams)
            return request
        }
    }

    // MARK: Incoming

    /// Judges the peer's request by its number and by what has arrived (§5.2.2).
    mutating func judge(number: UInt32, lastTSN: TSN, streams: [UInt16]?, cumulative: TSN) -> Verdict {
        if number == lastPeerNumber { return .answer(lastResult) }
        guard number == expectedNumber else { return .answer(.badSequenceNumber) }
        expectedNumber &+= 1
        if lastTSN > cumulative {
            deferred = Deferred(number: number, lastTSN: lastTSN, streams: merged(streams))
            lastResult = .inProgress
            return .answer(.inProgress)
        }
        lastResult = .performed
        return .perform
    }

    /// Answers a request this subset does not perform (§5.2.1 allows the denial).
    mutating func deny(number: UInt32) -> ReconfigurationResult {
        if number == lastPeerNumber { return lastResult }
        guard number == expectedNumber else { return .badSequenceNumber }
        expectedNumber &+= 1
        lastResult = .denied
        return .denied
    }

    /// The deferred request, once all the data before it has arrived.
    mutating func takeDeferred(cumulative: TSN) -> Deferred? {
        guard let request = deferred, request.lastTSN <= cumulative else { return nil }
        deferred = nil
        lastResult = .performed
        return request
    }

    /// The streams of a request and of one that is still deferred.
    private func merged(_ streams: [UInt16]?) -> [UInt16]? {
        guard let earlier = deferred else { return streams }
        guard let before = earlier.streams, let streams else { return nil }
        return Array(Set(before).union(streams)).sorted()
    }
}
