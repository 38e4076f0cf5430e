public import SwarmBase

/// What leaves (RFC 9260 §6.1, §6.10).
extension SCTPAssociation {
    /// The next packet, at most `packetSize` bytes (more only for a path MTU probe, or when a single chunk, such as the
    /// echo of a cookie or heartbeat, needs it); `nil` when nothing may be sent now.
    ///
    /// SACKs are decided here and not when packets arrive: an owner that hands in all it has read before it drains sends
    /// one for all of them.
    public mutating func pollTransmit(now: Instant) -> [UInt8]? {
        forbidsFragmentation = false
        if !answers.isEmpty, let packet = answers.popFirst() { return packet }
        if let probe = duePathProbe {
            duePathProbe = nil
            forbidsFragmentation = true
            return probe
        }
        switch state {
        case .closed, .ended: return nil
        case .cookieWait: return isInitDue ? makeInit(now: now) : nil
        case .cookieEchoed: return isCookieEchoDue ? makePacket(now: now) : nil
        case .established, .shutdownPending, .shutdownSent, .shutdownReceived, .shutdownAckSent:
            return makePacket(now: now)
        }
    }

    private mutating func makePacket(now: Instant) -> [UInt8]? {
        guard let peer else { return nil }
        if state != .established { advanceShutdown(now: now) }
        if queue.didDrainClosingStream, state != .cookieEchoed {
            queue.didDrainClosingStream = false
            reset.begin(lastTSN: (outstanding.nextTSN - 1).wire) { [queue] in queue.isDrained($0) }
        }
        let sendsData = maySendData(now: now)
        guard
            sendsData || isSackDue || isForwardTSNDue || reset.isDue || !control.isEmpty || isCookieEchoDue
        else { return nil }

        let limit = pathMTU.size
        // Few packets without data are longer than this; those that are grow.
        var packet = PacketWriter(capacity: sendsData ? limit : 64)
        packet.start(
            PacketHeader(
                sourcePort: configuration.port, destinationPort: configuration.port, verificationTag: peer.tag))
        let echoesCookie = isCookieEchoDue
        if echoesCookie { appendCookieEcho(to: &packet, now: now) }
        while let chunk = control.first, packet.count == PacketHeader.size || packet.count + chunk.count <= limit {
            packet.append(chunk)
            _ = control.popFirst()
        }
        if state != .cookieEchoed {
            if isSackDue || (owesSack && sendsData), packet.count + SackChunk.headerSize <= limit {
                appendSack(to: &packet, limit: limit)
            }
            if isForwardTSNDue { appendForwardTSN(to: &packet, limit: limit, now: now) }
            if reset.isDue { appendResetRequest(to: &packet, limit: limit, now: now) }
        }
        if sendsData {
            appendData(to: &packet, limit: limit, now: now)
            // All there was to send had expired: the owner will not ask again for what that leaves to be said.
            if packet.count == PacketHeader.size, isForwardTSNDue, state != .cookieEchoed {
                appendForwardTSN(to: &packet, limit: limit, now: now)
            }
        }
        guard packet.count > PacketHeader.size else { return nil }
        forbidsFragmentation = pathMTU.forbidsFragmentation(of: packet.count)
        // RFC 9653 §5.2: never without a checksum beside COOKIE ECHO.
        return packet.finish(checksum: echoesCookie || !(configuration.isOverDTLS && peer.acceptsZeroChecksum))
    }

    // MARK: Control chunks

    private mutating func appendCookieEcho(to packet: inout PacketWriter, now: Instant) {
        isCookieEchoDue = false
        timers[.handshake] = now + handshakeInterval
        var chunk: [UInt8] = []
        chunk.appendChunk(.cookieEcho, value: cookie)
        packet.append(chunk)
    }

    private mutating func appendSack(to packet: inout PacketWriter, limit: Int) {
        var chunk: [UInt8] = []
        tracker.makeSack(window: advertiseWindow(), room: limit - packet.count).write(to: &chunk)
        packet.append(chunk)
        isSackDue = false
        owesSack = false
        packetsSinceSack = 0
        timers[.delayedSack] = nil
    }

    private mutating func appendForwardTSN(to packet: inout PacketWriter, limit: Int, now: Instant) {
        let entry = ForwardTSNChunk.entrySize(isInterleaved: outstanding.isInterleaved)
        let streams = (limit - packet.count - ForwardTSNChunk.headerSize) / entry
        guard streams > 0 else { return }
        isForwardTSNDue = false
        guard let forward = outstanding.makeForwardTSN(maxStreams: streams, queue: queue) else { return }
        var chunk: [UInt8] = []
        forward.write(to: &chunk)
        packet.append(chunk)
        lastForwardTSN = now
        timers[.forwardTSN] = nil
        if !timers.isRunning(.retransmission) { timers[.retransmission] = now.adding(roundTrip.timeoutNanoseconds) }
    }

    private mutating func appendResetRequest(to packet: inout PacketWriter, limit: Int, now: Instant) {
        guard let request = reset.current, packet.count + 24 + 2 * request.streams.count <= limit else { return }
        reset.isDue = false
        timers[.reconfiguration] =
            now + min(configuration.rtoMax, roundTrip.timeout * (1 << min(reset.attempts, 10)))
        reset.attempts += 1
        var chunk: [UInt8] = []
        ReconfigurationChunk([
            .outgoingReset(
                request: request.number, response: reset.lastPeerNumber, lastTSN: request.lastTSN,
                streams: request.streams)
        ]).write(to: &chunk)
        packet.append(chunk)
    }

    // MARK: Data

    /// Whether at least one fragment may leave now.
    private mutating func maySendData(now: Instant) -> Bool {
        guard outstanding.lostCount > 0 || !queue.isEmpty else { return false }
        switch state {
        case .established, .shutdownPending, .shutdownReceived: break
        case .cookieEchoed where isCookieEchoDue: break
        default: return false
        }
        if forcedPackets > 0 { return true }
        guard outstanding.flightBytes < congestion.window else { return false }
        let time = roundTrip.smoothedNanoseconds
        if time >= Pacer.shortestRoundTrip {
            let rate = congestion.pacingRate(roundTrip: time, largest: pathMTU.size)
            timers[.pacing] = pacer.delay(now: now, rate: rate)
            return !timers.isRunning(.pacing)
        }
        timers[.pacing] = nil
        return true
    }

    private mutating func appendData(to packet: inout PacketWriter, limit: Int, now: Instant) {
        let isForced = forcedPackets > 0
        let start = packet.count
        let header = outstanding.isInterleaved ? DataChunk.interleavedHeaderSize : DataChunk.headerSize
        while isForced || outstanding.flightBytes < congestion.window {
            let room = limit - packet.count
            if outstanding.lostCount > 0 {
                guard isForced || mayUseWindow(outstanding.firstLostLength) else { break }
                // A fragment cut for larger packets has one of its own.
                let allowed = packet.count == PacketHeader.size ? Int.max : room
                if let (tsn, fragment) = outstanding.takeRetransmission(room: allowed, queue: &queue, now: now) {
                    congestion.retransmitted()
                    append(
                        fragment.message, range: fragment.range, number: fragment.number,
                        flags: fragment.flags.union(.immediate), tsn: tsn, to: &packet)
                } else if outstanding.lostCount > 0 {
                    break
                }
                continue
            }
            let space = (room - header) & ~3
            guard space > 0, let length = queue.nextLength(now: now) else { break }
            if outstanding.mayAbandon, let place = queue.expiredStarted {
                outstanding.abandonStarted(place, queue: &queue, now: now)
                continue
            }
            // A message is cut to fill a packet, but not into crumbs.
            guard length <= space || space >= 256 || packet.count == PacketHeader.size else { break }
            guard mayUseWindow(min(length, space)), let piece = queue.take(min(length, space)) else { break }
            let tsn = outstanding.append(piece, now: now)
            append(
                piece.message, range: piece.offset..<piece.offset + piece.length, number: piece.number,
                flags: piece.flags, tsn: tsn, to: &packet)
        }
        if outstanding.didAbandon { scheduleForwardTSN(now: now) }
        guard packet.count > start else { return }
        if isForced { forcedPackets -= 1 }
        pacer.sent(packet.count)
        if !timers.isRunning(.retransmission), state != .cookieEchoed {
            timers[.retransmission] = now.adding(roundTrip.timeoutNanoseconds)
        }
        scheduleProbe(now: now)
    }

    private func append(
        _ place: Int, range: Range<Int>, number: UInt32, flags: DataChunk.Flags, tsn: TSN,
        to packet: inout PacketWriter
    ) {
        packet.append(
            OutgoingChunk(
                tsn: tsn.wire, flags: flags, stream: queue[place].stream, sequence: queue[place].sequence,
                fragment: number, payloadProtocol: queue[place].payloadProtocol,
                isInterleaved: outstanding.isInterleaved),
            payload: queue[place].payload, range: range)
    }

    /// Whether the peer has room. When nothing is in flight one fragment may always go: the probe of a closed window
    /// (RFC 9260 §6.1 A).
    private func mayUseWindow(_ length: Int) -> Bool {
        outstanding.flightBytes == 0 || outstanding.flightPayload + length <= peerWindow
    }

    // MARK: Timers

    /// Acts on the timers that are due.
    public mutating func handleTimeout(now: Instant) {
        if timers.fires(.handshake, at: now) {
            // ICE judges whether the peer lives, so there is no end to this.
            handshakeInterval = min(handshakeInterval * 2, configuration.handshakeMax)
            if state == .cookieWait { isInitDue = true }
            if state == .cookieEchoed { repeatCookieEcho(now: now) }
        }
        if timers.fires(.reordering, at: now) {
            noticeLosses(outstanding.expireReordering(queue: &queue, now: now), now: now)
            timers[.reordering] = outstanding.reorderingDeadline
            if outstanding.didAbandon { scheduleForwardTSN(now: now) }
        }
        if timers.fires(.retransmission, at: now) { expireRetransmission(now: now) }
        if timers.fires(.tailLossProbe, at: now) { sendProbe(now: now) }
        if timers.fires(.delayedSack, at: now) { isSackDue = true }
        if timers.fires(.forwardTSN, at: now) { isForwardTSNDue = outstanding.awaitsForwardTSN }
        if timers.fires(.reconfiguration, at: now) {
            reset.isDue = reset.current != nil
        }
        if timers.fires(.shutdown, at: now) { repeatShutdown(now: now) }
        if timers.fires(.heartbeat, at: now) { expireHeartbeat(now: now) }
        if timers.fires(.mtuProbe, at: now) { expireMTUProbe(now: now) }
        _ = timers.fires(.pacing, at: now)
    }

    /// T3-rtx (RFC 9260 §6.3.3).
    private mutating func expireRetransmission(now: Instant) {
        guard !outstanding.isEmpty else { return }
        // A closed window is the peer's wish and no sign of a loss.
        let isWindowClosed = outstanding.isHeldBack(byWindow: peerWindow)
        outstanding.loseAll(queue: &queue, now: now)
        if !isWindowClosed {
            congestion.timedOut()
            roundTrip.backOff()
            expiriesInARow += 1
            if hasFailed(expiriesInARow) { return }
            if pathMTU.dataExpired() { timers[.mtuProbe] = now + configuration.mtuRaiseInterval }
        }
        lastExpiry = now
        forcedPackets = 0
        timers[.tailLossProbe] = nil
        timers[.reordering] = nil
        outstanding.didAbandon = false
        isForwardTSNDue = outstanding.awaitsForwardTSN
        timers[.retransmission] = now.adding(roundTrip.timeoutNanoseconds)
    }

    /// Fragments were found lost.
    mutating func noticeLosses(_ bytes: Int, now: Instant) {
        guard bytes > 0 else { return }
        if congestion.lost(bytes: bytes, highestOutstanding: outstanding.nextTSN - 1, now: now) {
            forcedPackets = max(forcedPackets, 1)
        }
    }

    /// Sets the time after which the last packets in flight are probed (RFC 8985 §7.2).
    mutating func scheduleProbe(now: Instant) {
        let smoothed = roundTrip.smoothedNanoseconds
        guard smoothed > 0, outstanding.flightBytes > 0, outstanding.lostCount == 0, !congestion.isInRecovery,
            probesSinceAck < 2, state != .cookieEchoed
        else {
            timers[.tailLossProbe] = nil
            return
        }
        // A lone packet may wait for the peer's delayed SACK; of two the second one is answered at once.
        let delay = outstanding.flightBytes <= configuration.maxPacketSize ? peerSackDelay : 0
        let moment = now.adding(smoothed * 2 + max(delay, 10 * .millisecond))
        let expiry = timers[.retransmission] ?? .distantFuture
        timers[.tailLossProbe] = moment < expiry && expiry != .distantFuture ? moment : nil
    }

    /// Sends one packet regardless of the window: new data if there is any, else the last fragment again.
    private mutating func sendProbe(now: Instant) {
        probesSinceAck += 1
        let hasNew = queue.nextLength(now: now).map { mayUseWindow(min($0, configuration.maxFragment)) } ?? false
        if hasNew || outstanding.probe(queue: &queue, now: now) { forcedPackets = max(forcedPackets, 1) }
    }

    /// FORWARD-TSN goes out at once, but not more often than once per round trip (RFC 3758 §3.5 C5).
    mutating func scheduleForwardTSN(now: Instant) {
        outstanding.didAbandon = false
        guard outstanding.awaitsForwardTSN else {
            isForwardTSNDue = false
            timers[.forwardTSN] = nil
            return
        }
        let wait = roundTrip.smoothedNanoseconds > 0 ? roundTrip.smoothedNanoseconds : 50 * .millisecond
        let earliest = lastForwardTSN.map { $0.adding(wait) } ?? now
        if earliest <= now {
            isForwardTSNDue = true
        } else if !timers.isRunning(.forwardTSN) {
            timers[.forwardTSN] = earliest
        }
    }
}
