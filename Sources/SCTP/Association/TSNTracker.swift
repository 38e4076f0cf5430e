import SwarmBase

/// Which numbers have arrived, and what a SACK says about it (RFC 9260 §6.2, §6.7).
struct TSNTracker: Sendable {
    /// What a number is to the receiver.
    enum Arrival: Equatable, Sendable {
        /// The one after the cumulative number.
        case next
        /// New, with a gap before it.
        case beyondGap
        case duplicate
        /// Too far ahead, or one gap too many.
        case refused
    }

    /// More gaps than any path makes.
    private static let maxGaps = 4096
    /// As many duplicates as are worth a report.
    private static let maxDuplicates = 32

    /// All numbers up to this one have arrived.
    private(set) var cumulative: TSN
    /// Runs above the cumulative number, apart from it and from each other, in order.
    private(set) var gaps: [TSNBlock] = []
    /// Numbers that arrived again since the last SACK.
    private(set) var duplicates: [UInt32] = []

    init(initial: UInt32) {
        cumulative = TSN(initial: initial) - 1
    }

    /// Whether numbers are missing.
    var hasGaps: Bool { !gaps.isEmpty }

    /// Looks a number up; nothing is recorded.
    func arrival(of tsn: TSN, window: Int) -> Arrival {
        if tsn <= cumulative { return .duplicate }
        if tsn == cumulative.next { return .next }
        if tsn - cumulative > window { return .refused }
        guard let last = gaps.last else { return .beyondGap }
        if tsn > last.last { return tsn == last.last.next || gaps.count < Self.maxGaps ? .beyondGap : .refused }
        let index = firstGap(endingAtOrAfter: tsn)
        if gaps[index].first <= tsn { return .duplicate }
        let joins = gaps[index].first == tsn.next || (index > 0 && gaps[index - 1].last.next == tsn)
        return joins || gaps.count < Self.maxGaps ? .beyondGap : .refused
    }

    /// Records a number that `arrival` called new.
    mutating func record(_ tsn: TSN) {
        if tsn == cumulative.next {
            cumulative = tsn
            if !gaps.isEmpty { absorb() }
            return
        }
        guard let last = gaps.last, tsn <= last.last else {
            if let last = gaps.last, last.last.next == tsn {
                gaps[gaps.count - 1].last = tsn
            } else {
                gaps.append(TSNBlock(first: tsn, last: tsn))
            }
            return
        }
        let index = firstGap(endingAtOrAfter: tsn)
        guard tsn < gaps[index].first else { return }
        let joinsBelow = index > 0 && gaps[index - 1].last.next == tsn
        let joinsAbove = gaps[index].first == tsn.next
        switch (joinsBelow, joinsAbove) {
        case (true, true):
            gaps[index - 1].last = gaps[index].last
            gaps.remove(at: index)
        case (true, false): gaps[index - 1].last = tsn
        case (false, true): gaps[index].first = tsn
        case (false, false): gaps.insert(TSNBlock(first: tsn, last: tsn), at: index)
        }
    }

    /// Notes a number that came again.
    mutating func recordDuplicate(_ tsn: TSN) {
        if duplicates.count < Self.maxDuplicates { duplicates.append(tsn.wire) }
    }

    /// Counts everything up to `tsn` as received (RFC 3758 §3.6).
    mutating func advance(to tsn: TSN) {
        guard tsn > cumulative else { return }
        cumulative = tsn
        absorb()
    }

    /// The acknowledgement of the moment; the list of duplicates starts anew.
    ///
    /// - Parameter room: how many bytes the chunk may take, at least its header.
    mutating func makeSack(window: Int, room: Int) -> SackChunk {
        var sack = SackChunk(cumulative: cumulative.wire, window: UInt32(clamping: window))
        var left = max(0, room - SackChunk.headerSize) / 4
        for gap in gaps {
            let first = gap.first - cumulative
            guard left > 0, first <= Int(UInt16.max) else { break }
            let last = min(gap.last - cumulative, Int(UInt16.max))
            sack.gaps.append(SackChunk.Gap(first: UInt16(clamping: first), last: UInt16(clamping: last)))
            left -= 1
        }
        sack.duplicates = Array(duplicates.prefix(left))
        duplicates.removeAll(keepingCapacity: true)
        return sack
    }

    /// Drops gaps that the cumulative number has reached.
    private mutating func absorb() {
        var count = 0
        while count < gaps.count, gaps[count].first <= cumulative.next {
            cumulative = max(cumulative, gaps[count].last)
            count += 1
        }
        if count > 0 { gaps.removeFirst(count) }
    }

    /// The index of the first gap whose end is not before `tsn`; there is one when `tsn` is not above them all.
    private func firstGap(endingAtOrAfter tsn: TSN) -> Int {
        gaps.dropLast().partitioningIndex { $0.last >= tsn }
    }
}
