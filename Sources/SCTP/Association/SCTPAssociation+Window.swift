public import SwarmBase

/// The receive window (RFC 9260 §6.2): what the peer is told that it may send, and what is taken of what it sends.
///
/// Both bytes and pieces are bounded, for small ones cost more memory than their payload. SCTP can announce bytes only: so
/// the pieces that may still come are announced as the bytes that they have when they are like the latest. A peer that
/// keeps to the announced window then never sends what has to be refused, however small its messages are.
extension SCTPAssociation {
    /// How many chunks the smoothed payload looks back on.
    static let payloadSmoothing = 16

    /// The owner has read `bytes` of the messages it was given in `count` messages: the window reopens.
    public mutating func release(_ bytes: Int, messages count: Int = 1, now: Instant) {
        inbox.release(bytes, messages: count)
        releasedSinceGrowth += bytes
        if releasedSinceGrowth >= window, inbox.unreadBytes == 0, window < maxWindow {
            window = min(window * 2, maxWindow)
            releasedSinceGrowth = 0
        }
        // RFC 9260 §6.2: the peer is told of a window that was small and is wide again.
        if advertisedWindow < smallWindow, !isSackDue, freeWindow - advertisedWindow >= smallWindow {
            isSackDue = true
            timers[.delayedSack] = now
        }
    }

    /// The owner holds a message again that it had released.
    mutating func charge(_ bytes: Int) {
        inbox.charge(bytes)
    }

    /// The window for the next SACK.
    mutating func advertiseWindow() -> Int {
        advertisedWindow = freeWindow
        smallWindow = bytes(of: configuration.maxHeldItems) / 4
        return advertisedWindow
    }

    /// A chunk came with so much payload.
    @inline(__always)
    mutating func noteSize(_ payload: Int) { smoothedPayload += payload - smoothedPayload / Self.payloadSmoothing }

    /// Whether a fragment may be kept. One that fills the lowest gap may overdraw: it lets go what waits behind it.
    ///
    /// Inlined, for a call would copy the whole association to pass it by value.
    @inline(__always)
    func hasRoom(for bytes: Int, closesGap: Bool) -> Bool {
        if bytes <= room, reassembly.runCount < Self.maxRuns { return true }
        return closesGap && inbox.unreadBytes + reassembly.heldBytes < 2 * window
            && heldItems < 2 * configuration.maxHeldItems
            && reassembly.runCount < 2 * Self.maxRuns
    }

    /// What the peer may still send: as many bytes as there is room for, of chunks like the latest.
    ///
    /// While there is a gap it is never quite closed: what fills the gap is taken although there is room for nothing else, and
    /// a peer that is told of no window at all repeats what was lost one chunk by round trip (RFC 9260 §6.1 A).
    private var freeWindow: Int {
        let items = heldItems
        let free = min(room, bytes(of: configuration.maxHeldItems - items))
        guard tracker.hasGaps else { return free }
        let overdraft = min(
            2 * window - inbox.unreadBytes - reassembly.heldBytes, bytes(of: 2 * configuration.maxHeldItems - items))
        return max(free, min(overdraft, bytes(of: configuration.maxHeldItems) / 8))
    }

    /// Bytes that there is room for.
    ///
    /// Interleaved messages that are all incomplete can fill the window among them, when nothing the owner does would make
    /// room; then it is extended, to twice its size at most.
    @inline(__always)
    private var room: Int {
        guard heldItems < configuration.maxHeldItems else { return 0 }
        let held = reassembly.heldBytes
        let free = window - inbox.unreadBytes - held
        if free < window / 8, inbox.unreadMessages == 0, !tracker.hasGaps {
            return max(0, min(window / 8, 2 * window - held))
        }
        return max(0, free)
    }

    @inline(__always)
    private var heldItems: Int { inbox.unreadMessages + reassembly.heldItems }

    /// The payload of so many chunks like the latest, at most the window.
    private func bytes(of chunks: Int) -> Int {
        let payload = max(1, smoothedPayload / Self.payloadSmoothing)
        return chunks > window / payload ? window : max(0, chunks) * payload
    }
}
