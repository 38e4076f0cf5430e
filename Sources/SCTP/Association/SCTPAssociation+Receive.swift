public import SwarmBase

/// What arrives (RFC 9260 §6.2–§6.7, §8.5, §9).
extension SCTPAssociation {
    /// Takes one packet: the content of one DTLS record. What is malformed, has a wrong checksum, port or tag is
    /// dropped; a peer that breaks the protocol beyond repair is answered with ABORT.
    public mutating func handle(packet: [UInt8], now: Instant) {
        guard let header = PacketHeader(packet: packet, acceptsZero: configuration.isOverDTLS),
            header.sourcePort == configuration.port, header.destinationPort == configuration.port
        else { return }
        var walker = ChunkWalker(packet: packet)
        var isFirst = true
        var arrival = DataArrival()
        while let chunk = walker.next() {
            guard accepts(chunk, tag: header.verificationTag, isFirst: isFirst) else { return }
            isFirst = false
            guard let type = ChunkType(rawValue: chunk.type), type != .pad else {
                let action = UnknownTypeAction(chunkType: chunk.type)
                if action.reports { report(chunk, in: packet) }
                if action.continues { continue }
                break
            }
            handle(chunk, type: type, in: packet, arrival: &arrival, now: now)
            if state == .ended || type == .initiation { return }
        }
        if arrival.sawData { finish(arrival, now: now) }
        lastReceived = now
        if roundTrip.backoffs >= 2 { noticeLife(now: now) }
    }

    /// What the DATA chunks of one packet ask for.
    struct DataArrival {
        var sawData = false
        var wantsSack = false
        var hadGaps = false
    }

    /// The tag rules of RFC 9260 §8.5: INIT has none; ABORT and SHUTDOWN COMPLETE with the T bit carry the peer's own.
    private func accepts(_ chunk: RawChunk, tag: UInt32, isFirst: Bool) -> Bool {
        switch chunk.type {
        case ChunkType.initiation.rawValue:
            return isFirst && tag == 0
        case ChunkType.abort.rawValue, ChunkType.shutdownComplete.rawValue:
            if chunk.flags & 1 != 0 { return peer.map { $0.tag == tag } ?? false }
            return tag == localTag
        default:
            return tag == localTag
        }
    }

    private mutating func handle(
        _ chunk: RawChunk, type: ChunkType, in packet: [UInt8], arrival: inout DataArrival, now: Instant
    ) {
        if type == .data || type == .interleavedData {
            handleData(chunk, in: packet, arrival: &arrival, now: now)
            return
        }
        switch type {
        case .initiation:
            if let chunk = InitiationChunk(chunk, in: packet) { handleInit(chunk, now: now) }
            return
        case .initiationAck:
            if let chunk = InitiationChunk(chunk, in: packet) { handleInitAck(chunk, now: now) }
            return
        case .cookieEcho:
            handleCookieEcho(Array(packet[chunk.value]), now: now)
            return
        case .shutdownAck where state == .ended:
            if let peer { answer(tag: peer.tag) { $0.appendChunk(.shutdownComplete) } }
            return
        default:
            break
        }
        // The rest is for an association the peer has a part in.
        switch state {
        case .closed, .ended: return
        case .cookieWait:
            if type == .abort { handleAbort(chunk, in: packet) }
            return
        case .cookieEchoed where type == .sack: handleCookieAck(now: now)
        default: break
        }
        switch type {
        case .sack:
            if let sack = SackChunk(chunk, in: packet) { handleSack(sack, now: now) }
        case .heartbeat: enqueueControl(.heartbeatAck, value: Array(packet[chunk.value]))
        case .abort: handleAbort(chunk, in: packet)
        case .shutdown: handleShutdown(chunk, in: packet, now: now)
        case .shutdownAck: handleShutdownAck()
        case .shutdownComplete: handleShutdownComplete()
        case .error:
            if ErrorCause.first(in: chunk, of: packet) == ErrorCause.staleCookie { handleStaleCookie() }
        case .cookieAck: handleCookieAck(now: now)
        case .reconfiguration: handleReconfiguration(ReconfigurationChunk(chunk, in: packet), now: now)
        case .forwardTSN where !queue.isInterleaved, .interleavedForwardTSN where queue.isInterleaved:
            if let forward = ForwardTSNChunk(chunk, in: packet) { handleForwardTSN(forward, now: now) }
        case .heartbeatAck: handleHeartbeatAck(chunk, in: packet, now: now)
        case .data, .interleavedData, .initiation, .initiationAck, .cookieEcho, .pad, .forwardTSN,
            .interleavedForwardTSN:
            break
        }
    }

    private mutating func handleAbort(_ chunk: RawChunk, in packet: [UInt8]) {
        end(.abortedByPeer(cause: ErrorCause.first(in: chunk, of: packet)))
    }

    /// Tells of a chunk type nobody here knows; its first bytes are enough.
    private mutating func report(_ chunk: RawChunk, in packet: [UInt8]) {
        guard state != .closed, state != .ended else { return }
        var cause: [UInt8] = []
        let end = min(chunk.value.upperBound, chunk.value.lowerBound + 60)
        cause.appendParameter(
            ErrorCause.unrecognisedChunk, value: Array(packet[chunk.value.lowerBound - 4..<end]))
        enqueueControl(.error, value: cause)
    }

    // MARK: DATA

    private mutating func handleData(
        _ raw: RawChunk, in packet: [UInt8], arrival: inout DataArrival, now: Instant
    ) {
        if state == .cookieEchoed { handleCookieAck(now: now) }
        switch state {
        case .established, .shutdownPending, .shutdownSent: break
        default: return
        }
        let isInterleaved = raw.type == ChunkType.interleavedData.rawValue
        guard isInterleaved == queue.isInterleaved else {
            // RFC 8260 §2.2.1: one or the other for the whole association.
            abort(
                cause: ErrorCause.protocolViolation, text: "DATA and I-DATA mixed",
                reason: .protocolViolation("DATA and I-DATA mixed"))
            return
        }
        guard
            let chunk = isInterleaved ? DataChunk(interleaved: raw, in: packet) : DataChunk(raw, in: packet)
        else {
            let header = (isInterleaved ? DataChunk.interleavedHeaderSize : DataChunk.headerSize) - 4
            abort(
                cause: raw.value.count == header ? ErrorCause.noUserData : ErrorCause.protocolViolation, text: "",
                reason: .protocolViolation("DATA without user data"))
            return
        }
        if !arrival.sawData {
            arrival.sawData = true
            arrival.hadGaps = tracker.hasGaps
        }
        if chunk.flags.contains(.immediate) { arrival.wantsSack = true }
        noteSize(chunk.payload.count)
        let tsn = TSN(chunk.tsn, near: tracker.cumulative)
        let kind = tracker.arrival(of: tsn, window: max(window / DataChunk.headerSize, 1024))
        let hasRoom = hasRoom(for: chunk.payload.count, closesGap: kind == .next && tracker.hasGaps)
        switch kind {
        case .duplicate:
            tracker.recordDuplicate(tsn)
            arrival.wantsSack = true
        case .refused:
            arrival.wantsSack = true
        case .next where hasRoom, .beyondGap where hasRoom:
            tracker.record(tsn)
            guard reassembly.add(chunk, tsn: tsn, in: packet, to: &inbox) == .accepted else {
                abort(
                    cause: ErrorCause.protocolViolation, text: "message too large",
                    reason: .protocolViolation("a message larger than announced"))
                return
            }
        case .next where inbox.unreadMessages == 0 && !tracker.hasGaps:
            // Everything held is incomplete, and there is room for no more of it: nothing can ever move again.
            abort(
                cause: ErrorCause.outOfResource, text: "",
                reason: .protocolViolation("more incomplete messages than fit the window"))
        case .next, .beyondGap:
            arrival.wantsSack = true
        }
    }

    /// Decides on the SACK for a packet with DATA (RFC 9260 §6.2).
    private mutating func finish(_ arrival: DataArrival, now: Instant) {
        owesSack = true
        packetsSinceSack += 1
        if reassembly.runCount > 0 { reassembly.dropOrphans(cumulative: tracker.cumulative) }
        performDeferredReset()
        let isFirst = !didReceiveData
        didReceiveData = true
        if isFirst || arrival.wantsSack || arrival.hadGaps || tracker.hasGaps || packetsSinceSack >= 2 {
            isSackDue = true
        } else if !timers.isRunning(.delayedSack) {
            timers[.delayedSack] = now.adding(min(roundTrip.timeoutNanoseconds / 2, sackDelay))
        }
        if state == .shutdownSent {
            // §9.2: each packet with DATA is answered by a SACK and a SHUTDOWN.
            isSackDue = true
            enqueueShutdown(now: now)
        }
    }

    // MARK: FORWARD-TSN

    /// RFC 3758 §3.6.
    private mutating func handleForwardTSN(_ chunk: ForwardTSNChunk, now: Instant) {
        switch state {
        case .established, .shutdownPending, .shutdownSent: break
        default: return
        }
        isSackDue = true
        let tsn = TSN(chunk.cumulative, near: tracker.cumulative)
        // One that jumps farther than any window is not what it seems.
        guard tsn > tracker.cumulative, tsn - tracker.cumulative <= max(window / DataChunk.headerSize, 1024) else {
            return
        }
        tracker.advance(to: tsn)
        reassembly.skip(to: tsn, chunk: chunk, to: &inbox)
        if reassembly.runCount > 0 { reassembly.dropOrphans(cumulative: tracker.cumulative) }
        performDeferredReset()
    }

    // MARK: RE-CONFIG

    /// RFC 6525 §5.2.
    private mutating func handleReconfiguration(_ chunk: ReconfigurationChunk, now: Instant) {
        for parameter in chunk.parameters {
            switch parameter {
            case .outgoingReset(let request, _, let lastTSN, let streams):
                let streams = streams.isEmpty ? nil : streams
                let last = TSN(lastTSN, near: tracker.cumulative)
                switch reset.judge(
                    number: request, lastTSN: last, streams: streams, cumulative: tracker.cumulative)
                {
                case .perform:
                    perform(streams)
                    respond(request, .performed)
                case .answer(let result):
                    respond(request, result)
                }
            case .denied(let request):
                respond(request, reset.deny(number: request))
            case .response(let request, let result):
                finishReset(number: request, result: result, now: now)
            }
        }
    }

    private mutating func performDeferredReset() {
        guard let request = reset.takeDeferred(cumulative: tracker.cumulative) else { return }
        perform(request.streams)
        respond(request.number, .performed)
    }

    private mutating func perform(_ streams: [UInt16]?) {
        reassembly.reset(streams)
        inbox.append(.incomingStreamsReset(streams))
    }

    private mutating func respond(_ request: UInt32, _ result: ReconfigurationResult) {
        guard control.count < Self.maxQueuedControl else { return }
        var chunk: [UInt8] = []
        ReconfigurationChunk([.response(request: request, result: result)]).write(to: &chunk)
        control.append(chunk)
    }

    private mutating func finishReset(number: UInt32, result: ReconfigurationResult, now: Instant) {
        guard reset.current?.number == number else { return }
        guard let request = reset.finish(number: number, result: result) else {
            // In progress there: ask again with the same number later.
            reset.isDue = false
            timers[.reconfiguration] = now.adding(roundTrip.timeoutNanoseconds)
            return
        }
        timers[.reconfiguration] = nil
        let isPerformed = result == .performed || result == .nothingToDo
        for stream in request.streams { queue.reopen(stream, resetSequence: isPerformed) }
        inbox.append(.outgoingStreamsReset(request.streams))
        queue.didDrainClosingStream = true
    }

    // MARK: SACK

    mutating func handleSack(_ sack: SackChunk, now: Instant) {
        guard
            let acknowledgement = outstanding.acknowledge(
                sack, isInRecovery: congestion.isInRecovery, estimator: roundTrip, queue: &queue, now: now)
        else { return }
        peerWindow = Int(sack.window)
        if let sample = acknowledgement.roundTrip { roundTrip.measure(sample) }
        if acknowledgement.bytesAcked > 0 || acknowledgement.cumulativeAdvanced {
            roundTrip.endBackoff()
            probesSinceAck = 0
            expiriesInARow = 0
            pathMTU.dataArrived()
        }
        congestion.acknowledged(
            CongestionControl.Sample(
                bytes: acknowledgement.bytesAcked, flight: acknowledgement.flightBefore,
                cumulative: outstanding.cumulative, cumulativeAdvanced: acknowledgement.cumulativeAdvanced,
                nextTSN: outstanding.nextTSN, roundTrip: acknowledgement.latestRoundTrip, now: now))
        if !sack.duplicates.isEmpty {
            congestion.reportedDuplicates(sack.duplicates.count)
            outstanding.widenReorderingWindow()
        }
        noticeLosses(acknowledgement.bytesLost, now: now)
        timers[.reordering] = outstanding.reorderingDeadline
        if outstanding.isEmpty {
            timers[.retransmission] = nil
        } else if acknowledgement.cumulativeAdvanced {
            timers[.retransmission] = now.adding(roundTrip.timeoutNanoseconds)
        }
        if outstanding.didAbandon || outstanding.awaitsForwardTSN || isForwardTSNDue { scheduleForwardTSN(now: now) }
        scheduleProbe(now: now)
    }

    /// Whatever the peer sends shows that the path works again after silence: what was sent into the silence is sent
    /// again now, not when a doubled timeout ends.
    private mutating func noticeLife(now: Instant) {
        guard !outstanding.isEmpty, state != .ended, state != .cookieEchoed, let last = lastExpiry,
            now.nanoseconds(since: last) >= max(roundTrip.smoothedNanoseconds, 100 * .millisecond)
        else { return }
        lastExpiry = now
        outstanding.loseAll(queue: &queue, now: now)
        isForwardTSNDue = outstanding.awaitsForwardTSN
        timers[.retransmission] = now.adding(roundTrip.timeoutNanoseconds)
    }
}
