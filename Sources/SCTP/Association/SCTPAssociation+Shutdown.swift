import SwarmBase

/// The end by agreement (RFC 9260 §9.2).
extension SCTPAssociation {
    /// Takes the next step when all data has arrived.
    mutating func advanceShutdown(now: Instant) {
        guard outstanding.isEmpty, queue.isEmpty else { return }
        switch state {
        case .shutdownPending:
            state = .shutdownSent
            enqueueShutdown(now: now)
        case .shutdownReceived:
            state = .shutdownAckSent
            enqueueControl(.shutdownAck)
            timers[.shutdown] = now.adding(roundTrip.timeoutNanoseconds)
        default:
            break
        }
    }

    /// SHUTDOWN, and T2-shutdown.
    mutating func enqueueShutdown(now: Instant) {
        var value: [UInt8] = []
        value.append(uint32: tracker.cumulative.wire)
        enqueueControl(.shutdown, value: value)
        timers[.shutdown] = now.adding(roundTrip.timeoutNanoseconds)
    }

    /// T2-shutdown expired.
    mutating func repeatShutdown(now: Instant) {
        shutdownRetransmissions += 1
        guard shutdownRetransmissions <= configuration.maxShutdownRetransmissions else {
            abort(cause: ErrorCause.userInitiatedAbort, text: "", reason: .unanswered)
            return
        }
        roundTrip.backOff()
        if state == .shutdownSent { enqueueShutdown(now: now) }
        if state == .shutdownAckSent {
            enqueueControl(.shutdownAck)
            timers[.shutdown] = now.adding(roundTrip.timeoutNanoseconds)
        }
    }

    mutating func handleShutdown(_ chunk: RawChunk, in packet: [UInt8], now: Instant) {
        guard chunk.value.count >= 4 else { return }
        let sack = SackChunk(
            cumulative: packet.uint32(at: chunk.value.lowerBound), window: UInt32(clamping: peerWindow))
        switch state {
        case .established, .shutdownPending, .shutdownReceived:
            state = .shutdownReceived
            handleSack(sack, now: now)
        case .shutdownSent:
            // Both began at once.
            state = .shutdownAckSent
            enqueueControl(.shutdownAck)
            timers[.shutdown] = now.adding(roundTrip.timeoutNanoseconds)
        case .closed, .cookieWait, .cookieEchoed, .shutdownAckSent, .ended:
            break
        }
    }

    mutating func handleShutdownAck() {
        guard state == .shutdownSent || state == .shutdownAckSent, let peer else { return }
        answer(tag: peer.tag) { $0.appendChunk(.shutdownComplete) }
        end(.shutdown)
    }

    mutating func handleShutdownComplete() {
        if state == .shutdownAckSent { end(.shutdown) }
    }
}
