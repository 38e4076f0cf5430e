import Crypto
import SwarmBase

/// Setup (RFC 9260 §5). Both sides send INIT as soon as DTLS is up, so the collision of §5.2.1 is the normal case.
extension SCTPAssociation {
    /// Our own INIT or INIT ACK.
    private func initiation(cookie: [UInt8]? = nil, unrecognised: [[UInt8]] = []) -> InitiationChunk {
        InitiationChunk(
            tag: localTag, window: UInt32(clamping: window), outboundStreams: configuration.maxStreams,
            inboundStreams: configuration.maxStreams, initialTSN: localInitialTSN,
            supportsInterleaving: configuration.offersInterleaving, acceptsZeroChecksum: configuration.isOverDTLS,
            cookie: cookie, unrecognised: unrecognised)
    }

    /// The INIT packet, and T1-init.
    mutating func makeInit(now: Instant) -> [UInt8] {
        isInitDue = false
        timers[.handshake] = now + handshakeInterval
        var packet: [UInt8] = []
        PacketHeader(sourcePort: configuration.port, destinationPort: configuration.port, verificationTag: 0)
            .write(to: &packet)
        initiation().write(to: &packet, as: .initiation)
        packet.sealPacket()
        return packet
    }

    /// Answers an INIT in any state with the same tag and first TSN as our own INIT has: nothing is remembered but in
    /// the cookie (§5.1 B, §5.2.1, §5.2.2).
    mutating func handleInit(_ chunk: InitiationChunk, now: Instant) {
        switch state {
        case .closed, .cookieWait, .cookieEchoed, .established, .shutdownPending: break
        case .shutdownSent, .shutdownReceived, .shutdownAckSent, .ended: return
        }
        let cookie = StateCookie(created: now, localTag: localTag, peer: PeerParameters(chunk))
        let reply = initiation(cookie: cookie.sealed(key: cookieKey), unrecognised: chunk.unrecognised)
        answer(tag: chunk.tag) { reply.write(to: &$0, as: .initiationAck) }
    }

    /// §5.1 C.
    mutating func handleInitAck(_ chunk: InitiationChunk, now: Instant) {
        guard state == .cookieWait, let cookie = chunk.cookie, !cookie.isEmpty else { return }
        begin(PeerParameters(chunk))
        self.cookie = cookie
        state = .cookieEchoed
        handshakeInterval = configuration.rtoInitial
        if !chunk.unrecognised.isEmpty {
            var cause: [UInt8] = []
            cause.appendParameter(ErrorCause.unrecognisedParameters, value: Array(chunk.unrecognised.joined()))
            enqueueControl(.error, value: cause)
        }
        repeatCookieEcho(now: now)
    }

    /// COOKIE ECHO is to be sent (again), and with it the data that went with it.
    mutating func repeatCookieEcho(now: Instant) {
        isCookieEchoDue = true
        outstanding.loseAll(queue: &queue, now: now)
    }

    /// §5.1 D and the table of §5.2.4. Our tag never changes, so only three of its rows can happen.
    mutating func handleCookieEcho(_ bytes: [UInt8], now: Instant) {
        let cookie: StateCookie
        do {
            cookie = try StateCookie.open(
                bytes, key: cookieKey, lifetime: configuration.cookieLifetime, now: now)
        } catch .stale(let age) {
            guard state != .established, let tag = Self.tag(ofStale: bytes) else { return }
            var measure: [UInt8] = []
            measure.append(uint32: UInt32(clamping: age.nanosecondsClamped / 1000))
            var cause: [UInt8] = []
            cause.appendParameter(ErrorCause.staleCookie, value: measure)
            answer(tag: tag) { $0.appendChunk(.error, value: cause) }
            return
        } catch {
            return
        }
        guard cookie.localTag == localTag else { return }
        switch state {
        case .closed, .cookieWait, .cookieEchoed:
            begin(cookie.peer)
            establish(now: now)
            enqueueControl(.cookieAck)
        case .established, .shutdownPending, .shutdownSent, .shutdownReceived, .shutdownAckSent:
            if cookie.peer.tag == peer?.tag {
                enqueueControl(.cookieAck)
            } else {
                // A restart within one DTLS session: the peer's state is gone, and so is every channel.
                abort(cause: ErrorCause.protocolViolation, text: "restart", reason: .restartedByPeer)
            }
        case .ended:
            break
        }
    }

    /// §5.1 E. Also what data from the peer means when the COOKIE ACK itself is late or lost: only a peer that took
    /// our cookie can send any.
    mutating func handleCookieAck(now: Instant) {
        guard state == .cookieEchoed else { return }
        establish(now: now)
    }

    /// §5.2.6: start over.
    mutating func handleStaleCookie() {
        guard state == .cookieEchoed else { return }
        state = .cookieWait
        isCookieEchoDue = false
        isInitDue = true
    }

    /// The receiving half starts with what the peer said.
    private mutating func begin(_ parameters: PeerParameters) {
        peer = parameters
        peerWindow = Int(parameters.window)
        tracker = TSNTracker(initial: parameters.initialTSN)
        outstanding.mayAbandon = parameters.supportsForwardTSN
        if configuration.offersInterleaving, parameters.supportsInterleaving, outstanding.isEmpty {
            queue.interleave()
            outstanding.isInterleaved = true
        }
        // The peer keeps every message begun until it is whole: half its window for those.
        queue.maxStartedBytes = max(Int(parameters.window) / 2, configuration.maxMessageSize)
        reset.expect(parameters.initialTSN)
    }

    private mutating func establish(now: Instant) {
        state = isShutdownDue ? .shutdownPending : .established
        cookie = []
        isInitDue = false
        isCookieEchoDue = false
        timers[.handshake] = nil
        // Data may have gone with the COOKIE ECHO.
        if !outstanding.isEmpty { timers[.retransmission] = now.adding(roundTrip.timeoutNanoseconds) }
        lastReceived = now
        watchPath(now: now)
        inbox.append(.connected)
    }

    /// Where to send the news that a cookie, genuine but too old, was refused.
    private static func tag(ofStale cookie: [UInt8]) -> UInt32? {
        cookie.count >= 16 ? cookie.uint32(at: 12) : nil
    }
}
