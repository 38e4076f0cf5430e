internal import DTLS
internal import ICE
internal import SCTP
public import SwarmBase

/// How a connection ends.
extension PeerConnection {
    /// Closes the connection: ABORT, then close_notify, as browsers do. Nothing is answered afterwards.
    ///
    /// - Parameter lingering: first let the peer acknowledge what was sent, for up to
    ///   `PeerConnectionConfiguration.lingerTimeout`; no new message is taken meanwhile.
    public mutating func close(lingering: Bool = false, now: Instant) {
        guard state != .closed else { return }
        self.now = now
        if lingering, state == .connected, lingerDeadline == nil {
            lingerDeadline = now + configuration.lingerTimeout
            sctp?.shutdown(now: now)
            settle()
        } else {
            part(.local)
        }
    }

    /// Says goodbye on every layer, and ends.
    mutating func part(_ reason: PeerConnectionCloseReason) {
        if let path = ice.sendPath {
            if dtls?.isConnected == true {
                sctp?.abort(now: now)
                // Only the ABORT is left in it.
                for _ in 0..<4 {
                    guard let packet = sctp?.pollTransmit(now: now) else { break }
                    try? dtls?.send(packet)
                }
            }
            dtls?.close()
            while let datagram = dtls?.pollTransmit() { parting.append(Transmit(datagram, on: path)) }
        }
        end(reason)
    }

    /// Ends without a word: what has to be sent is in `parting`.
    mutating func end(_ reason: PeerConnectionCloseReason) {
        guard state != .closed else { return }
        // An alert or the answer to close_notify may still wait.
        if let path = ice.sendPath {
            while let datagram = dtls?.pollTransmit() { parting.append(Transmit(datagram, on: path)) }
        }
        closeReason = reason
        closeAllChannels()
        switch reason {
        case .dtls where state != .failed:
            events.append(.stateChanged(.failed))
        case .local, .remote, .pathLost, .dtls, .sctp:
            break
        }
        state = .closed
        events.append(.stateChanged(.closed))
        dtls = nil
        sctp = nil
        ice.close()
        graceDeadline = nil
        lingerDeadline = nil
        earlyDatagrams = []
    }

    /// An association cannot be set up again in the same session, so the connection ends with it.
    mutating func associationEnded(_ reason: SCTPCloseReason) {
        if lingerDeadline != nil {
            part(.local)
            return
        }
        switch reason {
        case .shutdown, .abortedByPeer: part(.remote)
        case .abortedLocally: part(.local)
        case .protocolViolation, .restartedByPeer, .unanswered: part(.sctp(reason))
        }
    }
}
