/// The timers and bounds of an ``ICEAgent``.
public struct ICEConfiguration: Sendable {
    /// Ta: the least time between two new checks of one agent. RFC 8445 §14.2 says 50 ms by default and never below 5 ms;
    /// 20 ms is what an agent with few candidates may use.
    public var pacingInterval: Duration = .milliseconds(20)
    /// The first retransmission of a check when the pair's round trip time is not known (RFC 8445 §14.3).
    public var initialRetransmissionTimeout: Duration = .milliseconds(250)
    /// Doubling ends here, so that a path that heals during setup is found within this time.
    public var maximumRetransmissionTimeout: Duration = .seconds(2)
    /// Rc: how often one check is sent before its pair has failed (RFC 8489 §6.2.1).
    public var maximumSends = 7
    /// How long after its last sending a check waits for its answer before the pair has failed.
    public var finalWait: Duration = .seconds(4)
    /// How long a check's transaction is known, so that late answers count.
    public var transactionLifetime: Duration = .seconds(10)
    /// Failed pairs are tried again after this time while no pair works and the agent may still wait: an answer may be long
    /// on its way, and a hole is punched only while both sides send.
    public var retryInterval: Duration = .seconds(2)

    /// How long after the first valid pair the best valid one is nominated (RFC 8445 §8.1.1).
    public var nominationDelay: Duration = .milliseconds(100)
    /// The same while only relayed pairs are valid.
    public var relayedNominationDelay: Duration = .milliseconds(200)
    /// The least time between two nominations.
    public var nominationInterval: Duration = .seconds(2)

    /// How long a spare pair that seems much faster than the nominated one is measured beside it, every
    /// `recheckInterval`: on a queue that both share, both are slow. Only if it stays faster it is nominated.
    public var comparisonTime: Duration = .seconds(5)

    /// What keeps a path alive and watches over its silence is done at multiples of this on the owner's clock, up to so much
    /// later than it is due: so the checks of many agents leave, and are answered, in one go. Zero for exact times.
    public var upkeepGrid: Duration = .milliseconds(50)
    /// The mean time between consent checks, spread by ± 20 % (RFC 7675 §5.1).
    public var consentInterval: Duration = .seconds(5)
    /// Consent ends this long after the last good answer (RFC 7675 §5.1).
    public var consentTimeout: Duration = .seconds(30)
    /// A used pair that was silent this long is checked every `recheckInterval`.
    public var suspicionTimeout: Duration = .seconds(4)
    /// A used pair that was silent, or left checks without answer, this long is disconnected.
    public var disconnectTimeout: Duration = .seconds(6)
    /// The time between checks of pairs while the agent is suspicious or disconnected.
    public var recheckInterval: Duration = .milliseconds(500)
    /// How many valid pairs besides the used one are kept valid.
    public var sparePairs = 3
    /// The longest time between checks of a spare pair; they come up to 20 % earlier.
    public var spareInterval: Duration = .seconds(25)

    /// How long the local credentials of an ended generation are still answered to.
    public var credentialsLifetime: Duration = .seconds(30)
    /// An agent without a valid pair does not fail before this time (RFC 8863 §4).
    public var patience: Duration = .milliseconds(39_500)
    /// The same once both sides have named all candidates and every pair has failed.
    public var endOfCandidatesPatience: Duration = .seconds(10)

    /// Pairs of one generation (RFC 8445 §6.1.2.5).
    public var maximumPairs = 100
    /// Checks whose answers are awaited; the oldest is forgotten first.
    public var maximumTransactions = 512
    /// Checks kept that came before the peer's description.
    public var maximumEarlyChecks = 16
    /// Candidates kept that came before the credentials they belong to.
    public var maximumPendingCandidates = 32
    /// Local candidates, peer-reflexive ones included.
    public var maximumLocalCandidates = 24
    /// Role changes of one generation. A peer that keeps up a conflict longer gets no further checks for it.
    public var maximumRoleConflicts = 8

    public init() {}
}
