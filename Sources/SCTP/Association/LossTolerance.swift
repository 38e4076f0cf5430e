import SwarmBase

/// How much loss is no congestion, as long as no queue is seen.
///
/// Up to the configured share (2 %, as BBRv2 and BBRv3 have it) loss is held to be the link's. What is beyond is put to the test: the
/// window is reduced, as CUBIC does it, and what is lost and delivered afterwards tells two kinds apart. Where a queue overflowed,
/// a smaller window ends the loss, or as much is delivered as before, for the link was full. Where the link loses at random, the
/// same share is lost as before, and less is delivered. Then the reduction is taken back, and about that much loss is tolerated from
/// then on.
struct LossTolerance: Sendable {
    /// What the trial of a reduced window has shown.
    enum Verdict: Equatable, Sendable {
        /// Loss went on all the same: it was not ours.
        case random
        case congestion
    }

    private struct Trial: Sendable {
        var shareBefore: Double
        /// What was delivered before, in bytes per second; `nil` when that grew quickly, and so is no measure.
        var rateBefore: Double?
        /// How many bytes it takes.
        var size: Int
        /// When the first bytes arrived, and how many came after these: a SACK may tell of many at once.
        var began: Instant?
        var delivered = 0
        var acked = 0
        var lost = 0
    }

    /// So many packets lost by chance are no proof of a higher share.
    private static let margin = 8
    /// Over how many packets loss is measured at most, and what of it counts as going on just now.
    private static let memory = 1000
    private static let recentMemory = 200
    /// More than this is never tolerated.
    private static let highestShare = 0.2
    /// A trial takes so many packets at least, and as many as let about so many losses be expected, but few windows.
    private static let shortestTrial = 200.0
    private static let wantedLosses = 12.0
    private static let longestTrial = 12.0
    /// How far apart the shares before and in a trial may be by chance.
    private static let likeness = 0.6
    /// Of what was delivered before, less than this is less.
    private static let lessDelivered = 0.9
    /// With a smaller window, in packets, others have taken what was given up before that can be seen.
    private static let smallestWindow = 24
    /// Unless so much is lost that nobody who heeds loss would go on sending.
    private static let unheeded = 0.08

    private let packetSize: Int
    private let lowestShare: Double

    private var acked = 0
    private var lost = 0
    private var recentlyAcked = 0
    private var recentlyLost = 0
    private var trial: Trial?
    private var roundBegan: Instant?
    private var roundBytes = 0
    /// What is delivered, in bytes per second.
    private var rate = 0.0
    /// The share of what is sent that may be lost.
    private(set) var share: Double

    init(_ configuration: SCTPConfiguration) {
        self.init(
            packetSize: configuration.maxPacketSize,
            lowestShare: min(max(configuration.toleratedLoss, 0), Self.highestShare))
    }

    private init(packetSize: Int, lowestShare: Double) {
        self.packetSize = packetSize
        self.lowestShare = lowestShare
        share = lowestShare
    }

    /// Whether any loss is tolerated.
    var isActive: Bool { lowestShare > 0 }

    /// Whether a reduced window is on trial.
    var isTrying: Bool { trial != nil }

    /// Whether no more was lost lately than is tolerated.
    var isLossSmall: Bool {
        Double(lost) <= Double(acked + lost) * share + Double(Self.margin * packetSize)
    }

    /// Another path: nothing that was learned holds.
    mutating func reset() { self = LossTolerance(packetSize: packetSize, lowestShare: lowestShare) }

    // MARK: Measurement

    mutating func acknowledged(_ bytes: Int) {
        acked += bytes
        recentlyAcked += bytes
        roundBytes += bytes
    }

    mutating func lost(_ bytes: Int) {
        lost += bytes
        recentlyLost += bytes
    }

    /// What was called lost has arrived.
    mutating func found(_ bytes: Int) {
        lost = max(0, lost - bytes)
        recentlyLost = max(0, recentlyLost - bytes)
    }

    mutating func beginRound(now: Instant) {
        if let began = roundBegan, now > began {
            let latest = Double(roundBytes) * 1e9 / Double(now.nanoseconds(since: began))
            rate = rate > 0 ? (rate + latest) / 2 : latest
        }
        roundBegan = now
        roundBytes = 0
        if recentlyAcked + recentlyLost > Self.recentMemory * packetSize {
            recentlyAcked /= 2
            recentlyLost /= 2
        }
        guard acked + lost > Self.memory * packetSize else { return }
        // Less loss than there was is tolerated less.
        if share > lowestShare {
            share = max(lowestShare, min(share, Self.tolerated(for: Self.share(lost, of: acked))))
        }
        acked /= 2
        lost /= 2
    }

    private static func share(_ lost: Int, of acked: Int) -> Double {
        lost > 0 ? Double(lost) / Double(acked + lost) : 0
    }

    /// What is tolerated when so much is lost at random.
    private static func tolerated(for share: Double) -> Double { min(share * 1.25 + 0.01, highestShare) }

    // MARK: Trial

    /// The window was reduced because more was lost than is tolerated: what follows is put to the test, unless so much is lost that
    /// it would not be tolerated anyway, or so little is sent that the test would show nothing.
    ///
    /// - Parameter window: before it was reduced, in bytes.
    mutating func beginTrial(window: Int, isInSlowStart: Bool) {
        let recently = Self.share(recentlyLost, of: recentlyAcked)
        let longer = Self.share(lost, of: acked)
        let before = recently > 2 * longer ? recently : longer
        guard before > 0, before < Self.highestShare, rate > 0,
            window >= Self.smallestWindow * packetSize || before >= Self.unheeded
        else { return }
        let packets = min(Self.wantedLosses / before, Self.longestTrial * Double(window / packetSize))
        trial = Trial(
            shareBefore: before, rateBefore: isInSlowStart ? nil : rate,
            size: packetSize * Int(max(Self.shortestTrial, packets)))
    }

    /// The window changed for another reason.
    mutating func endTrial() { trial = nil }

    /// Bytes sent with the reduced window arrived or were lost.
    ///
    /// - Returns: the verdict when the trial is over.
    mutating func judge(acked: Int, lost: Int, now: Instant) -> Verdict? {
        guard var current = trial else { return nil }
        if current.began == nil {
            if acked > 0 { current.began = now }
        } else {
            current.delivered += acked
        }
        current.acked += acked
        current.lost += lost
        let isHopeless = Double(current.lost) > Self.highestShare * Double(current.size)
        guard isHopeless || current.acked + current.lost >= current.size else {
            trial = current
            return nil
        }
        trial = nil
        guard !isHopeless, isRandom(current, now: now) else {
            share = lowestShare
            return .congestion
        }
        share = max(share, Self.tolerated(for: max(Self.share(current.lost, of: current.acked), current.shareBefore)))
        return .random
    }

    private func isRandom(_ trial: Trial, now: Instant) -> Bool {
        let after = Self.share(trial.lost, of: trial.acked)
        guard after >= trial.shareBefore * Self.likeness, after * Self.likeness <= trial.shareBefore else {
            return false
        }
        guard let before = trial.rateBefore else { return true }
        guard let began = trial.began, now > began else { return false }
        return Double(trial.delivered) * 1e9 / Double(now.nanoseconds(since: began)) <= before * Self.lessDelivered
    }
}
