public import SwarmBase

/// What leaves (RFC 9260 §6.1, §6.10).
extension SCTPAssociation {
    /// The next packet, at most `SCTPConfiguration.maxPacketSize` bytes (more only when a single chunk, such as the
    /// echo of a cookie or heartbeat, needs it); `nil` when nothing may be sent now.
    public mutating func pollTransmit(now: Instant) -> [UInt8]? {
        if let packet = answers.popFirst() { return packet }
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
        advanceShutdown(now: now)
        if queue.didDrainClosingStream, state != .cookieEchoed {
            queue.didDrainClosingStream = false
            reset.begin(lastTSN: (outstanding.nextTSN - 1).wire) { [queue] in queue.isDrained($0) }
        }
        let sendsData = maySendData(now: now)
        guard
            sendsData || isSackDue || isForwardTSNDue || reset.isDue || !control.isEmpty || isCookieEchoDue
        else { return nil }

        var packet: [UInt8] = []
        packet.reserveCapacity(configuration.maxPacketSize)
        PacketHeader(sourcePort: configuration.port, destinationPort: configuration.port, verificationTag: peer.tag)
            .write(to: &packet)
        if isCookieEchoDue {
            isCookieEchoDue = false
            timers[.handshake] = now + handshakeInterval
            packet.appendChunk(.cookieEcho, value: cookie)
        }
        while let chunk = control.first, packet.count == PacketHeader.size || hasRoom(chunk.count, in: packet) {
            packet.append(contentsOf: chunk)
            _ = control.popFirst()
        }
        if state != .cookieEchoed {
            if isSackDue || (owesSack && sendsData), hasRoom(SackChunk.headerSize, in: packet) {
                appendSack(to: &packet)
            }
            if isForwardTSNDue { appendForwardTSN(to: &packet, now: now) }
            if reset.isDue { appendResetRequest(to: &packet, now: now) }
        }
        if sendsData { appendData(to: &packet, now: now) }
        guard packet.count > PacketHeader.size else { return nil }
        packet.sealPacket()
        return packet
    }

    private func hasRoom(_ bytes: Int, in packet: [UInt8]) -> Bool {
        packet.count + bytes <= configuration.maxPacketSize
    }

    // MARK: Control chunks

    private mutating func appendSack(to packet: inout [UInt8]) {
        let free = freeWindow
        tracker.makeSack(window: free, room: configuration.maxPacketSize - packet.count).write(to: &packet)
        advertisedWindow = free
        isSackDue = false
        owesSack = false
        packetsSinceSack = 0
        timers[.delayedSack] = nil
    }

    private mutating func appendForwardTSN(to packet: inout [UInt8], now: Instant) {
        let streams = (configuration.maxPacketSize - packet.count - ForwardTSNChunk.headerSize) / 4
        guard streams > 0 else { return }
        isForwardTSNDue = false
        guard let chunk = outstanding.makeForwardTSN(maxStreams: streams) else { return }
        chunk.write(to: &packet)
        lastForwardTSN = now
        timers[.forwardTSN] = nil
        if timers[.retransmission] == nil { timers[.retransmission] = now + roundTrip.timeout }
    }

    private mutating func appendResetRequest(to packet: inout [UInt8], now: Instant) {
        guard let request = reset.current, hasRoom(24 + 2 * request.streams.count, in: packet) else { return }
        reset.isDue = false
        timers[.reconfiguration] =
            now + min(configuration.rtoMax, roundTrip.timeout * (1 << min(reset.attempts, 10)))
        reset.attempts += 1
        ReconfigurationChunk([
            .outgoingReset(
                request: request.number, response: reset.lastPeerNumber, lastTSN: request.lastTSN,
                streams: request.streams)
        ]).write(to: &packet)
    }

    // MARK: Data

    /// Whether at least one fragment may leave now.
    private mutating func maySendData(now: Instant) -> Bool {
        switch state {
        case .established, .shutdownPending, .shutdownReceived: break
        case .cookieEchoed where isCookieEchoDue: break
        default: return false
        }
        guard outstanding.lostCount > 0 || !queue.isEmpty else { return false }
        if forcedPackets > 0 { return true }
        guard outstanding.flightBytes < congestion.window else { return false }
        if let roundTripTime = roundTrip.smoothed, roundTripTime >= Pacer.shortestRoundTrip,
            let moment = pacer.delay(now: now, rate: congestion.pacingRate(roundTrip: roundTripTime))
        {
            timers[.pacing] = moment
            return false
        }
        timers[.pacing] = nil
        return true
    }

    private mutating func appendData(to packet: inout [UInt8], now: Instant) {
        let isForced = forcedPackets > 0
        let start = packet.count
        while isForced || outstanding.flightBytes < congestion.window {
            let room = configuration.maxPacketSize - packet.count
            if outstanding.lostCount > 0 {
                guard isForced || mayUseWindow(outstanding.firstLostLength) else { break }
                if let (tsn, fragment) = outstanding.takeRetransmission(room: room, queue: &queue, now: now) {
                    congestion.retransmitted()
                    var flags = fragment.flags
                    flags.insert(.immediate)
                    DataChunk.write(
                        to: &packet, tsn: tsn, flags: flags, message: fragment.message, range: fragment.range)
                } else if outstanding.lostCount > 0 {
                    break
                }
                continue
            }
            if outstanding.mayAbandon, queue.isServedMessageExpired(now: now) {
                outstanding.abandonServed(queue: &queue, now: now)
                continue
            }
            guard let length = queue.nextLength(now: now) else { break }
            let space = (room - DataChunk.headerSize) & ~3
            // A message is cut to fill a packet, but not into crumbs.
            guard length <= space || space >= 256 else { break }
            guard mayUseWindow(min(length, space)), let fragment = queue.take(min(length, space)) else { break }
            let tsn = outstanding.append(fragment, now: now)
            DataChunk.write(
                to: &packet, tsn: tsn, flags: fragment.flags, message: fragment.message, range: fragment.range)
        }
        if outstanding.didAbandon { scheduleForwardTSN(now: now) }
        guard packet.count > start else { return }
        if isForced { forcedPackets -= 1 }
        pacer.sent(packet.count)
        if timers[.retransmission] == nil, state != .cookieEchoed {
            timers[.retransmission] = now + roundTrip.timeout
        }
        scheduleProbe(now: now)
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
        if timers.fires(.retransmission, at: now) { expireRetransmission(now: now) }
        if timers.fires(.tailLossProbe, at: now) { sendProbe(now: now) }
        if timers.fires(.delayedSack, at: now) { isSackDue = true }
        if timers.fires(.forwardTSN, at: now) { isForwardTSNDue = outstanding.awaitsForwardTSN }
        if timers.fires(.reconfiguration, at: now) {
            reset.isDue = reset.current != nil
        }
        if timers.fires(.shutdown, at: now) { repeatShutdown(now: now) }
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
        }
        lastExpiry = now
        forcedPackets = 0
        timers[.tailLossProbe] = nil
        outstanding.didAbandon = false
        isForwardTSNDue = outstanding.awaitsForwardTSN
        timers[.retransmission] = now + roundTrip.timeout
    }

    /// Sets the time after which the last packets in flight are probed (RFC 8985 §7.2).
    mutating func scheduleProbe(now: Instant) {
        timers[.tailLossProbe] = nil
        guard let smoothed = roundTrip.smoothed, outstanding.flightBytes > 0, outstanding.lostCount == 0,
            !congestion.isInRecovery, probesSinceAck < 2, state != .cookieEchoed
        else { return }
        // A lone packet may wait for the peer's delayed SACK; of two the second one is answered at once.
        let delay = outstanding.flightBytes <= configuration.maxPacketSize ? configuration.peerSackDelay : .zero
        let moment = now + smoothed * 2 + max(delay, .milliseconds(10))
        if let expiry = timers[.retransmission], moment < expiry { timers[.tailLossProbe] = moment }
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
        let earliest = lastForwardTSN.map { $0 + (roundTrip.smoothed ?? .milliseconds(50)) } ?? now
        if earliest <= now {
            isForwardTSNDue = true
        } else if timers[.forwardTSN] == nil {
            timers[.forwardTSN] = earliest
        }
    }
}
