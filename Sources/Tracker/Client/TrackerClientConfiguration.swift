/// Bounds and times of a ``TrackerClient``.
public struct TrackerClientConfiguration: Sendable {
    /// How many offers an announce carries at most. WebTorrent sends 5; some servers take no more than 10.
    public var offersPerAnnounce = 5
    /// How many offers are asked for while the tracker says that nobody else is there: who comes brings offers.
    public var offersWhenAlone = 2
    /// How many offers of one swarm may be open at a time.
    public var openOffersPerSwarm = 10
    /// How long an offer lives after it was sent: it holds addresses and credentials that age.
    public var offerLifetime: Duration = .seconds(60)
    /// How long an announce waits for its offers before it goes out without them.
    public var offerPatience: Duration = .seconds(3)
    /// The interval until the tracker has named one.
    public var initialInterval: Duration = .seconds(30)
    /// What a tracker's interval is clamped to.
    public var intervalRange: ClosedRange<Duration> = .seconds(15) ... .seconds(300)
    /// When to repeat the announce while no offer and no answer has passed on this socket: offers to peers that have
    /// gone without a word are lost. Only the first is used while the tracker says that nobody else is there.
    public var earlyRepeats: [Duration] = [.seconds(15), .seconds(30), .seconds(60)]
    /// The least time between two announces for one swarm.
    public var announceSpacing: Duration = .seconds(10)
    /// How long a dial may take.
    public var connectTimeout: Duration = .seconds(20)
    /// After so long without any traffic a ping is asked for.
    public var pingAfter: Duration = .seconds(60)
    /// After so long without any traffic the socket counts as dead.
    public var deadAfter: Duration = .seconds(150)
    /// The first reconnect waits a random time below this, each further one below twice the one before.
    public var backoffBase: Duration = .seconds(5)
    /// No reconnect waits longer.
    public var backoffMaximum: Duration = .seconds(300)
    /// A socket that stayed up for so long resets the backoff.
    public var stableAfter: Duration = .seconds(60)
    /// A close within this time of our announce, without a reply, is taken as the tracker's answer to it.
    public var rejectionWindow: Duration = .seconds(5)
    /// After so many of these in a row the tracker counts as incompatible.
    public var rejectionsUntilIncompatible = 3
    /// How long an incompatible tracker is left alone.
    public var incompatibleFor: Duration = .seconds(3600)
    /// How many swarms share the socket at most.
    public var maximumSwarms = 64
    /// The largest message that is read or sent. Some servers close the socket above 64 KiB.
    public var maximumMessageByteCount = 1 << 16
    /// The largest session description that is read or sent.
    public var maximumSDPByteCount = 1 << 14
    /// How many received offers are passed on in a burst; one a second is added. Anybody may send any number.
    public var receivedOffersBurst = 60
    /// How many received offers may await our answer.
    public var unansweredOffers = 100
    /// The first bytes of our peer ids (BEP 20).
    public var peerIDPrefix = "-SS0100-"

    public init() {}
}
