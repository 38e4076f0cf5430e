import SwarmBase

/// Partial reliability: messages that are given up (RFC 3758, RFC 7496), and what the peer is told of them.
extension OutstandingData {
    /// Gives up the message at `place`, of which a part was sent and whose lifetime has ended.
    mutating func abandonStarted(_ place: Int, queue: inout SendQueue, now: Instant) {
        var position = fragments.count - 1
        while position >= 0, fragments[position].message != place { position -= 1 }
        if position >= 0 {
            abandonMessage(at: position, queue: &queue, now: now)
        } else {
            // All fragments sent so far are acknowledged and gone: the end still needs a number.
            appendAbandonedEnd(of: place, queue: &queue, now: now)
        }
    }

    /// Gives up a whole message: all its fragments, and if a rest was not sent, one more number that stands for it,
    /// so that the skip covers the message to its end.
    mutating func abandonMessage(at position: Int, queue: inout SendQueue, now: Instant) {
        let place = fragments[position].message
        var left = queue[place].outstanding
        // Its fragments lie around this one, side by side unless messages interleave.
        var index = position
        while index >= 0, left > 0 {
            if fragments[index].message == place {
                abandonFragment(at: index)
                left -= 1
                if fragments[index].flags.contains(.begin) { break }
            }
            index -= 1
        }
        index = position + 1
        while index < fragments.count, left > 0 {
            if fragments[index].message == place {
                abandonFragment(at: index)
                left -= 1
            }
            index += 1
        }
        appendAbandonedEnd(of: place, queue: &queue, now: now)
    }

    private mutating func abandonFragment(at position: Int) {
        switch fragments[position].phase {
        case .inFlight:
            flightBytes -= size(at: position)
            flightPayload -= Int(fragments[position].length)
        case .lost: lostCount -= 1
        case .acknowledged, .abandoned: break
        }
        fragments[position].phase = .abandoned
    }

    private mutating func appendAbandonedEnd(of place: Int, queue: inout SendQueue, now: Instant) {
        didAbandon = true
        guard let end = queue.abandon(place) else { return }
        fragments.append(
            Fragment(
                sentAt: now, message: place, offset: end.offset, number: end.number, length: 0, transmissions: 0,
                flags: end.flags, phase: .abandoned))
    }

    /// What to tell the peer to skip; `nil` when nothing was given up right after the cumulative number
    /// (RFC 3758 §3.5 C2–C4, RFC 8260 §2.3.1).
    ///
    /// - Parameter maxStreams: how many entries fit the packet; the skip ends before the message that would need more.
    func makeForwardTSN(maxStreams: Int, queue: borrowing SendQueue) -> ForwardTSNChunk? {
        var chunk = ForwardTSNChunk(cumulative: cumulative.wire, isInterleaved: isInterleaved)
        var position = 0
        while position < fragments.count, fragments[position].phase == .abandoned {
            let place = fragments[position].message
            let stream = queue[place].stream
            let isUnordered = queue[place].isUnordered
            if isInterleaved || !isUnordered {
                let sequence = queue[place].sequence
                if let index = chunk.skipped.lastIndex(where: {
                    $0.stream == stream && $0.isUnordered == isUnordered
                }) {
                    let known = chunk.skipped[index].sequence
                    // Fragments of several messages of a stream come in any order only if it has both kinds.
                    if requestSequence(known, precedes: sequence) || !isInterleaved {
                        chunk.skipped[index].sequence = sequence
                    }
                } else if chunk.skipped.count < maxStreams {
                    chunk.skipped.append(
                        ForwardTSNChunk.Skip(stream: stream, sequence: sequence, isUnordered: isUnordered))
                } else {
                    break
                }
            }
            position += 1
        }
        guard position > 0 else { return nil }
        chunk.cumulative = (cumulative + position).wire
        return chunk
    }

    /// Whether the fragment after the cumulative number was given up.
    var awaitsForwardTSN: Bool { fragments.first?.phase == .abandoned }
}
