import SwarmBase

/// Signs of life and the size of packets (RFC 9260 §8.3, RFC 8899).
extension SCTPAssociation {
    /// What our HEARTBEATs carry, to tell the echoes apart.
    private enum Mark {
        static let life: UInt32 = 0x6c69_6665
        static let size: UInt32 = 0x7369_7a65
    }

    /// The association is up, or its path another one: the timers of the path begin.
    mutating func watchPath(now: Instant) {
        unansweredHeartbeats = 0
        if let interval = heartbeatInterval { timers[.heartbeat] = now.adding(interval) }
        if pathMTU.isEnabled { timers[.mtuProbe] = now }
    }

    /// The heartbeat timer expired: either nothing was heard for the interval, or the last HEARTBEAT was not answered.
    mutating func expireHeartbeat(now: Instant) {
        guard let interval = heartbeatInterval else { return }
        switch state {
        case .established, .shutdownPending, .shutdownReceived: break
        case .closed, .cookieWait, .cookieEchoed, .shutdownSent, .shutdownAckSent, .ended: return
        }
        let due = lastReceived.adding(interval)
        if due > now, unansweredHeartbeats == 0 {
            timers[.heartbeat] = due
            return
        }
        unansweredHeartbeats += 1
        guard !hasFailed(unansweredHeartbeats - 1) else { return }
        var info: [UInt8] = []
        info.append(uint32: Mark.life)
        info.append(uint32: UInt32(truncatingIfNeeded: now.nanoseconds >> 32))
        info.append(uint32: UInt32(truncatingIfNeeded: now.nanoseconds))
        enqueueControl(.heartbeat, value: parameter(info))
        timers[.heartbeat] = now.adding(max(roundTrip.timeoutNanoseconds, min(interval, .second)))
    }

    /// Whether so many failures in a row are too many; then the association is over.
    mutating func hasFailed(_ failures: Int) -> Bool {
        guard let limit = configuration.maxRetransmissions, failures > limit else { return false }
        abort(cause: ErrorCause.userInitiatedAbort, text: "", reason: .unanswered)
        return true
    }

    /// Probes for larger packets.
    mutating func expireMTUProbe(now: Instant) {
        guard state == .established else { return }
        if pathMTU.probe == nil { pathMTU.raise() }
        pathMTU.expired()
        guard let probe = pathMTU.nextProbe() else {
            timers[.mtuProbe] = pathMTU.raiseDelay.map { now.adding($0) }
            return
        }
        timers[.mtuProbe] = now.adding(roundTrip.timeoutNanoseconds)
        var info: [UInt8] = []
        info.append(uint32: Mark.size)
        info.append(uint32: probe.nonce)
        guard let peer else { return }
        var heartbeat: [UInt8] = []
        heartbeat.appendChunk(.heartbeat, value: parameter(info))
        // The question comes last: who reads only the beginning of so long a record does not answer it.
        duePathProbe = sealedPacket(tag: peer.tag) { packet in
            let padding = probe.size - packet.count - heartbeat.count
            if padding >= 4 { packet.appendChunk(.pad, value: [UInt8](repeating: 0, count: padding - 4)) }
            packet += heartbeat
        }
    }

    /// HEARTBEAT ACK: the echo of one of ours.
    mutating func handleHeartbeatAck(_ chunk: RawChunk, in packet: [UInt8], now: Instant) {
        var walker = ChunkWalker(packet, in: chunk.value)
        guard let (type, value) = walker.nextParameter(), type == Self.heartbeatInfo, value.count >= 8 else { return }
        let first = packet.uint32(at: value.lowerBound + 4)
        switch packet.uint32(at: value.lowerBound) {
        case Mark.life where value.count >= 12:
            let low = packet.uint32(at: value.lowerBound + 8)
            let sent = Instant(nanoseconds: Int64(bitPattern: UInt64(first) << 32 | UInt64(low)))
            guard unansweredHeartbeats > 0, sent <= now else { return }
            unansweredHeartbeats = 0
            roundTrip.measure(now.nanoseconds(since: sent))
            if let interval = heartbeatInterval { timers[.heartbeat] = now.adding(interval) }
        case Mark.size:
            if pathMTU.answered(nonce: first) { timers[.mtuProbe] = now }
        default:
            break
        }
    }

    /// The one parameter of a HEARTBEAT (RFC 9260 §3.3.5).
    private static let heartbeatInfo: UInt16 = 1

    private func parameter(_ info: [UInt8]) -> [UInt8] {
        var value: [UInt8] = []
        value.appendParameter(Self.heartbeatInfo, value: info)
        return value
    }
}
