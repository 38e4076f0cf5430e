import Synchronization

/// When it pays to look at the socket again and again for a moment, rather than to sleep: who asks and is answered within
/// microseconds waits for the waking of processors more than for anything else.
///
/// As the kernel's own idle governor does (cpuidle's haltpoll), it goes by what happened last: only when the last few
/// pauses were shorter than the limit, the next one is expected to be. One that was longer ends it. So an exchange over
/// a network, however busy, and many idle connections never cause any of it.
struct BusyPolling {
    /// How many short pauses in a row are asked for.
    private static let proof = 3
    /// More datagrams in one turn than this are no exchange of single messages: then it is better to let them gather.
    private static let fewDatagrams = 4

    /// In nanoseconds; 0 for never.
    let limit: Int64
    private var pauseBegan: Int64?
    private var shortPauses = 0

    init(limit: Int64) { self.limit = max(0, limit) }

    /// Something has come.
    mutating func turnBegan(at now: Int64) {
        guard limit > 0, let began = pauseBegan else { return }
        shortPauses = now - began <= limit ? min(shortPauses + 1, Self.proof) : 0
        pauseBegan = nil
    }

    /// What came has been worked off, or something was sent of one's own accord.
    ///
    /// - Returns: whether to poll now, for `limit`.
    mutating func pauseBegins(at now: Int64, datagrams: Int) -> Bool {
        guard limit > 0 else { return false }
        pauseBegan = now
        if datagrams > Self.fewDatagrams { shortPauses = 0 }
        return shortPauses == Self.proof
    }
}

/// Tells a port that polls its socket that other work has come for its event loop.
public final class PollingInterrupt: Sendable {
    private let isRaised = Atomic(false)

    public init() {}

    /// The loop has been given something to do; called from any thread.
    public func raise() { isRaised.store(true, ordering: .relaxed) }

    /// Whether it was raised since the last time.
    func take() -> Bool {
        isRaised.load(ordering: .relaxed) && isRaised.exchange(false, ordering: .relaxed)
    }
}
