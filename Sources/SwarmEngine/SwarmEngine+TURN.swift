public import ICE
public import SwarmBase
import WebRTC

/// What the owner is to do with the TCP or TLS connection to a TURN server.
public enum TURNStreamAction: Equatable, Sendable {
    /// Connect, and report `turnStreamOpened` or `turnStreamClosed`. The address is another than the server's own when that
    /// one has sent us on (RFC 8656 §17.1).
    case open(TURNServerID, TransportAddress)
    /// Send one whole message; it may be left out when too much is waiting.
    case send(TURNServerID, [UInt8])
    /// Close it; no report is expected.
    case close(TURNServerID)
}

/// Addresses on TURN servers: candidates like any other, and the way of what ICE sends from them.
extension SwarmEngine {
    /// The user that keeps an address on each server from the beginning, so that there is one when it is needed.
    private static let standby = TURNUser(0)

    /// Uses a TURN server, when TURN is among the paths.
    ///
    /// - Parameter name: what warnings call it.
    /// - Returns: how it is spoken of here; `nil` when it is not used: too many, or known already.
    public mutating func addTURNServer(_ server: TURNServer, name: String, now: Instant) -> TURNServerID? {
        guard configuration.paths.contains(.turn), !isLeaving, let id = turn.addServer(server) else { return nil }
        turnServerNames[id] = name
        turnHealth[id, default: PlaneHealth()].began(now: now)
        turn.retain(id, by: Self.standby, now: now)
        drainTURN(now: now)
        return id
    }

    /// The connection that `TURNStreamAction.open` asked for is there.
    public mutating func turnStreamOpened(_ id: TURNServerID, now: Instant) {
        turn.streamOpened(id, now: now)
        drainTURN(now: now)
    }

    /// It could not be made, or has ended.
    public mutating func turnStreamClosed(_ id: TURNServerID, now: Instant) {
        turn.streamClosed(id, now: now)
        drainTURN(now: now)
    }

    /// Bytes came on it.
    public mutating func receive(turnStream bytes: [UInt8], from id: TURNServerID, now: Instant) {
        turn.handle(stream: bytes, from: id, now: now)
        drainTURN(now: now)
    }

    /// The next thing to do with a connection to a TURN server.
    public mutating func pollTURNStream() -> TURNStreamAction? {
        settle()
        return streamActions.popFirst()
    }

    /// Takes all that the TURN client has to tell.
    mutating func drainTURN(now: Instant) {
        while let event = turn.pollEvent() { take(event, now: now) }
        carryTURN()
        while let received = turn.pollReceived() {
            route(received.payload, from: received.peer, via: received.relay, now: now)
        }
    }

    /// Hands on what goes to TURN servers.
    mutating func carryTURN() {
        while let transmit = turn.pollTransmit() { transmits.append(transmit) }
        while let (id, bytes) = turn.pollStream() { streamActions.append(.send(id, bytes)) }
    }

    /// Gives the addresses back.
    mutating func leaveTURN(now: Instant) {
        turn.forget(Self.standby, now: now)
        drainTURN(now: now)
    }

    private mutating func take(_ event: TURNEvent, now: Instant) {
        switch event {
        case .allocated(let id, let relayed, let mapped):
            turnHealth[id]?.worked(now: now)
            turnAddresses[id] = relayed
            let rank = UInt16(clamping: turn.servers.firstIndex(of: id) ?? 0)
            addLocalCandidates([.relayed(relayed, mapped: mapped, server: relayed.address, rank: rank)], now: now)
            // It may be the first address that this member can be reached at.
            for member in everybody { negotiate(with: member, now: now) }
        case .lost(let id, let relayed):
            turnHealth[id]?.failed("it has taken the address back")
            turnAddresses[id] = nil
            localCandidates.removeAll { $0.kind == .relayed && $0.address == relayed }
            for connection in allConnections {
                connection.peerConnection.removeLocalCandidate(relayed, now: now)
                drain(connection, now: now)
            }
        case .failed(let id, let reason):
            turnHealth[id]?.failed("\(reason)")
            events.append(.warning("the TURN server \(turnServerNames[id] ?? "") \(reason)"))
        case .connect(let id, let address):
            streamActions.append(.open(id, address))
        case .disconnect(let id):
            streamActions.append(.close(id))
        case .peerRefused:
            break
        }
    }
}
