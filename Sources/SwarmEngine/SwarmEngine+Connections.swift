import ICE
import SCTP
import SwarmBase
import WebRTC

/// Peer connections on the one socket.
extension SwarmEngine {
    /// The label of the channel that carries a session.
    static let channelLabel = "swarm-space"

    mutating func makeConnection(id: ConnectionID? = nil, to peer: PeerID?, now: Instant) -> Connection {
        let id = id ?? ConnectionID(value: entropy.next())
        var settings = PeerConnectionConfiguration()
        settings.sctp.maxProbedPacketSize = SCTPConfiguration.largestUsefulPacketSize
        // Members watch each other's lives by these checks, instead of by questions of their sessions.
        settings.ice.suspicionTimeout = .seconds(2)
        settings.mayBeRelayed = !turn.servers.isEmpty
        let peerConnection = PeerConnection(
            configuration: settings, certificate: certificate, entropy: entropy.fork(), now: now)
        let connection = Connection(id: id, peerConnection: peerConnection, peer: peer, agenda: connectionAgenda)
        for candidate in localCandidates { connection.peerConnection.addLocalCandidate(candidate) }
        connections[id] = connection
        return connection
    }

    func openChannel(on connection: Connection, now: Instant) throws {
        connection.isOfferer = true
        connection.channel = try connection.peerConnection.openChannel(
            DataChannelOptions(label: Self.channelLabel), now: now)
    }

    /// All connections, in an order that is the same in each run of a simulation.
    var allConnections: [Connection] { connections.values.sorted { $0.id.value < $1.id.value } }

    /// Takes what a connection has to say, and has it send at the end of the turn.
    mutating func drain(_ connection: Connection, now: Instant) {
        router.setUfrags(connection.peerConnection.localUfrags, for: connection.id.value)
        takeEvents(of: connection, now: now)
        flush(connection, now: now)
    }

    mutating func takeEvents(of connection: Connection, now: Instant) {
        while let event = connection.peerConnection.pollEvent() {
            switch event {
            case .stateChanged(let state):
                stateChanged(state, of: connection, now: now)
            case .channelOpened(let channel, let options, _):
                if options.label == Self.graphLabel {
                    graphChannelOpened(channel, on: connection, now: now)
                }
                guard options.label == Self.channelLabel else { break }
                connection.channel = channel
                channelOpened(connection, now: now)
                openGraphChannel(on: connection, now: now)
            case .message(let channel, let kind, let packet):
                if channel == connection.channel {
                    receive(packet: packet, on: connection, now: now)
                } else if channel == connection.graphChannel, kind == .text {
                    receive(graphFrame: packet, on: connection, now: now)
                }
            case .channelClosed(let channel):
                if channel == connection.channel {
                    ended(connection, now: now)
                } else if channel == connection.graphChannel {
                    graphChannelClosed(on: connection, now: now)
                }
            case .bufferedAmountLow(let channel):
                if channel == connection.graphChannel {
                    graphChannelHasRoom(on: connection, now: now)
                } else if let member = connection.peer.flatMap({ members[$0] }) {
                    pump(member, now: now)
                }
            case .addressValidated(let address):
                // DTLS of two connections from one address cannot be told apart: the newer is the one that is meant.
                let older = router.addressValidated(address, by: connection.id.value)
                if let older = older.flatMap({ connections[ConnectionID(value: $0)] }) { ended(older, now: now) }
            case .selectedAddress:
                notePath(of: connection, now: now)
            }
        }
    }

    mutating func drainTransmits(of connection: Connection, now: Instant) {
        while let transmit = connection.peerConnection.pollTransmit() {
            router.noteTransmit(transmit.payload, by: connection.id.value, now: now)
            if isBlocked(connection, remote: transmit.destination, relay: transmit.relay) { continue }
            if transmit.relay == nil {
                transmits.append(transmit)
            } else {
                turn.send(transmit, for: TURNUser(connection.id.value), now: now)
            }
        }
        carryTURN()
    }

    /// Closes a connection, after what was said on it.
    mutating func close(_ connection: Connection, now: Instant) {
        drainTransmits(of: connection, now: now)
        connection.peerConnection.close(now: now)
        drainTransmits(of: connection, now: now)
    }

    /// Tells the session which way the connection's packets go.
    private mutating func notePath(of connection: Connection, now: Instant) {
        guard let member = connection.peer.flatMap({ members[$0] }), member.negotiation.connection == connection.id,
            let path = connection.peerConnection.selectedPath
        else { return }
        member.session.connectionMoved(
            to: path.isRelayed ? .turn : .direct, rtt: connection.peerConnection.roundTripTime)
        if connection.isOpen, !path.isRelayed { noteDirectAddress(of: member, connection, now: now) }
    }

    /// Closes a connection and forgets it.
    mutating func remove(_ connection: Connection, now: Instant) {
        guard connections.removeValue(forKey: connection.id) != nil else { return }
        connectionAgenda.touch(connection)
        close(connection, now: now)
        router.remove(connection.id.value)
        turn.forget(TURNUser(connection.id.value), now: now)
        carryTURN()
        graphChannelClosed(on: connection, now: now)
        if connection.isOpen, let member = connection.peer.flatMap({ members[$0] }) {
            connection.isOpen = false
            member.session.pathClosed(.connection, now: now)
            member.mesh.neighbours = []
            member.mesh.told = nil
            member.mesh.introduced = [:]
            neighboursChanged(now: now)
        }
    }

    /// Takes what the STUN servers said.
    mutating func drainSTUN(now: Instant) {
        while let transmit = stun.pollTransmit() { transmits.append(transmit) }
        while let event = stun.pollEvent() {
            switch event {
            case .reflexive(let address, let server):
                stunHealth[server]?.worked(now: now)
                setReflexive(address, server: server, now: now)
            case .unreachable(let server): stunHealth[server]?.failed("it does not answer")
            case .mappingChanged: break
            }
        }
    }

    /// A server sees the socket at this address now, and no more at the one it saw before.
    mutating func setReflexive(_ address: TransportAddress, server: TransportAddress, now: Instant) {
        let former = reflexive.updateValue(address, forKey: server)
        notePort(now: now)
        if let former, former != address, !reflexive.values.contains(former) {
            localCandidates.removeAll { $0.kind == .serverReflexive && $0.address == former }
        }
        guard configuration.connectsDirectly else { return }
        addLocalCandidates([.serverReflexive(address, server: server.address)], now: now)
    }

    /// Takes addresses of ours that are not known yet, and tells all connections.
    mutating func addLocalCandidates(_ candidates: [Candidate], now: Instant) {
        let new = candidates.filter { candidate in !localCandidates.contains { $0.address == candidate.address } }
        guard !new.isEmpty else { return }
        if localCandidates.isEmpty { touchEverybody() }
        localCandidates += new
        for connection in allConnections {
            let known = connection.peerConnection.localCandidates
            for candidate in new { connection.peerConnection.addLocalCandidate(candidate) }
            let unsaid = connection.peerConnection.localCandidates.filter { !known.contains($0) }
            if !unsaid.isEmpty { trickle(unsaid.map(\.sdp), on: connection, now: now) }
        }
    }

    private mutating func stateChanged(_ state: PeerConnectionState, of connection: Connection, now: Instant) {
        switch state {
        case .new, .connecting:
            break
        case .connected:
            connection.brokenSince = nil
            guard let member = connection.peer.flatMap({ members[$0] }) else { return }
            member.restart = nil
            member.session.probe()
            pump(member, now: now)
        case .disconnected, .failed:
            connection.brokenSince = connection.brokenSince ?? now
        case .closed:
            ended(connection, now: now)
        }
    }

    private mutating func channelOpened(_ connection: Connection, now: Instant) {
        guard let member = connection.peer.flatMap({ members[$0] }), member.negotiation.connection == connection.id,
            let channel = connection.channel
        else { return }
        connection.isOpen = true
        connection.peerConnection.setBufferedAmountLowThreshold(Self.channelRefill, of: channel)
        member.resend = nil
        member.restart = nil
        member.negotiation.opened(connection.id)
        notePath(of: connection, now: now)
        if configuration.sendsOnConnections { member.session.pathOpened(.connection, now: now) }
        neighboursChanged(now: now)
        pump(member, now: now)
    }

    private mutating func receive(packet: [UInt8], on connection: Connection, now: Instant) {
        guard let member = connection.peer.flatMap({ members[$0] }), connection.isOpen else { return }
        do {
            let frames = try Frame.parse(packet)
            if configuration.sendsOnConnections { member.session.receive(frames, on: .connection, now: now) }
            takeRekeying(frames, from: member, now: now)
            takePrekeys(frames, from: member, now: now)
            receiveMesh(frames, from: member, now: now)
        } catch {
            refuse(error)
        }
        pump(member, now: now)
    }

    /// The far end closed the connection, or it cannot go on.
    private mutating func ended(_ connection: Connection, now: Instant) {
        let member = connection.peer.flatMap { members[$0] }
        remove(connection, now: now)
        guard let member, member.negotiation.connection == connection.id else { return }
        member.resend = nil
        member.negotiation.ended(now: now, jitter: Double.random(in: 0...1, using: &entropy))
        datagrams.seekAgain(member.peer, now: now)
        pump(member, now: now)
    }
}
