import SwarmBase
import WebRTC

/// Mesh paths: datagrams, sealed as on the relay path, through a third member that both are connected with. Never through
/// two: what was forwarded is for its receiver alone.
extension SwarmEngine {
    /// How long a change of the neighbours waits for the next one before it is told.
    private static let tellingDelay = Duration.milliseconds(200)
    /// How long a forwarder is tried before another is.
    private static let forwarderPatience = Duration.seconds(1)
    /// How many of those who are connected with two strangers hand the records of the one on to the other: one may be gone and not missed yet.
    private static let introducers = 2

    // MARK: Whom we are connected with

    /// The members with an open connection, in the order of their ids.
    private var neighbours: [Member] {
        members.values.filter { openConnection(of: $0) != nil }.sorted { $0.peer < $1.peer }
    }

    /// A connection has come or gone.
    mutating func neighboursChanged(now: Instant) {
        tellNeighboursAt = tellNeighboursAt ?? now + Self.tellingDelay
        updateMeshPaths(now: now)
    }

    /// Tells neighbours of each other, if something is new.
    mutating func tellNeighbours(now: Instant) {
        guard let at = tellNeighboursAt, now >= at, !isLeaving else { return }
        tellNeighboursAt = nil
        let neighbours = self.neighbours
        let ids = neighbours.prefix(Frame.mostNeighbours).map(\.peer.prefix)
        for member in neighbours where member.mesh.told != ids {
            if member.mesh.told == nil, let own = sealedPresence(now: now) {
                tell(.presence(own), to: member, now: now)
            }
            member.mesh.told = ids
            tell(.neighbours(forwards: configuration.mesh.forwards, ids), to: member, now: now)
            introduceOthers(to: member, among: neighbours, now: now)
        }
    }

    /// Our new record is told to the neighbours, who may tell theirs.
    mutating func tellPresence(now: Instant) {
        guard !isLeaving, let own = sealedPresence(now: now) else { return }
        for member in neighbours { tell(.presence(own), to: member, now: now) }
    }

    /// Gives a member the records of our neighbours that are not its own.
    private mutating func introduceOthers(to member: Member, among neighbours: [Member], now: Instant) {
        guard configuration.mesh.forwards else { return }
        for other in neighbours.prefix(Frame.mostNeighbours) { introduce(other, to: member, now: now) }
    }

    /// Gives a neighbour the record of another, unless it has that already, or others see to it.
    private mutating func introduce(_ other: Member, to member: Member, now: Instant) {
        guard areStrangers(other, member), let presence = other.sealedPresence,
            member.mesh.introduced[other.peer] != presence.record.timestamp,
            isFresh(presence.record.timestamp, now: now), introduces(other, to: member)
        else { return }
        member.mesh.introduced[other.peer] = presence.record.timestamp
        tell(.presence(presence.sealed), to: member, now: now)
    }

    /// Whether it is for us to hand the records of one on to another: of all who can, a few do. Each finds out by itself who these are, from
    /// what those say that it is connected with; whoever comes first in that order is sure to.
    private func introduces(_ one: Member, to other: Member) -> Bool {
        let pair = one.peer.prefix ^ other.peer.prefix
        func rank(_ prefix: UInt64) -> UInt64 {
            // Another order for each pair: nobody is burdened with all of them.
            var mixed = (prefix ^ pair) &* 0x9e37_79b9_7f4a_7c15
            mixed = (mixed ^ mixed >> 29) &* 0xbf58_476d_1ce4_e5b9
            return mixed ^ mixed >> 32
        }
        let own = rank(peerID.prefix)
        var better = 0
        for member in members.values
        where rank(member.peer.prefix) < own && canForward(member, to: one) && canForward(member, to: other) {
            better += 1
            if better == Self.introducers { return false }
        }
        return true
    }

    /// Whether two neighbours of ours are not connected with each other, as far as they say.
    private func areStrangers(_ a: Member, _ b: Member) -> Bool {
        a.peer != b.peer && !a.mesh.neighbours.contains(b.peer.prefix) && !b.mesh.neighbours.contains(a.peer.prefix)
    }

    // MARK: Frames

    /// Takes the frames that a neighbour's connection brought and that are not its session's.
    mutating func receiveMesh(_ frames: [Frame], from member: Member, now: Instant) {
        for frame in frames {
            switch frame {
            case .neighbours(let forwards, let ids):
                member.mesh.forwards = forwards
                member.mesh.neighbours = Set(ids)
                introduceOthers(to: member, among: neighbours, now: now)
                updateMeshPaths(now: now)
            case .presence(let sealed):
                receive(presence: sealed, from: member, now: now)
            case .forward(let peer, let datagram):
                forward(datagram, from: member, to: peer, now: now)
            case .forwarded(let datagram):
                receive(datagram: datagram, depth: 0, by: .mesh, now: now)
            default:
                break
            }
        }
    }

    private mutating func receive(presence sealed: [UInt8], from member: Member, now: Instant) {
        guard sealed.count <= RelayDatagram.largest, member.mesh.mayForward(sealed.count, configuration.mesh, now: now),
            let subject = takePresence(sealed, plane: .mesh, now: now)
        else { return }
        updateMeshPath(to: subject, now: now)
        pump(subject, now: now)
        // Only what a member says of itself is handed on, and only by those who are connected with it.
        guard subject.peer == member.peer, configuration.mesh.forwards else { return }
        for other in neighbours { introduce(member, to: other, now: now) }
    }

    /// Hands a datagram to a neighbour, if that is one and neither is a burden.
    private mutating func forward(_ datagram: [UInt8], from sender: Member, to peer: PeerID, now: Instant) {
        guard configuration.mesh.forwards, !isLeaving, datagram.count <= RelayDatagram.largest, peer != sender.peer,
            let receiver = members[peer], openConnection(of: receiver) != nil
        else { return }
        guard sender.mesh.mayForward(datagram.count, configuration.mesh, now: now) else { return refuse(.overLimit) }
        tell(.forwarded(datagram), to: receiver, now: now)
    }

    /// Sends a frame that is no part of the session; it is left out when the connection does not keep up.
    private mutating func tell(_ frame: Frame, to member: Member, now: Instant) {
        guard let connection = openConnection(of: member), let channel = connection.channel,
            connection.peerConnection.bufferedAmount(of: channel) < Self.channelQueue
        else { return }
        var packet: [UInt8] = []
        frame.write(to: &packet)
        sendDirect(packet, to: member, now: now)
    }

    // MARK: Paths

    /// Sends a datagram to a member through a third one, if there is one that brings it.
    mutating func sendByMesh(_ datagram: RelayDatagram, to member: Member, now: Instant) {
        guard !member.blocked.contains(.mesh), let forwarder = chooseForwarder(to: member, now: now) else { return }
        tell(.forward(to: member.peer, introduced(datagram, to: member, now: now).bytes), to: forwarder, now: now)
    }

    /// Whether a third member can bring something to this one.
    func reachesByMesh(_ member: Member) -> Bool {
        members.values.contains { canForward($0, to: member) }
    }

    /// The members that forward, of those that we are connected with.
    private var forwarders: [Member] {
        members.values.filter { $0.mesh.forwards && !$0.mesh.neighbours.isEmpty && openConnection(of: $0) != nil }
    }

    private func canForward(_ neighbour: Member, to member: Member) -> Bool {
        neighbour.mesh.forwards && neighbour.peer != member.peer
            && neighbour.mesh.neighbours.contains(member.peer.prefix) && openConnection(of: neighbour) != nil
    }

    /// Stays with one as long as it works; else takes the next, those whose own path is good and short first.
    private func chooseForwarder(to member: Member, now: Instant) -> Member? {
        let present = member.mesh.forwarder.flatMap { members[$0] }
        if let present, canForward(present, to: member), !present.session.isConnectionSuspect,
            !member.session[.mesh].isSuspect || member.mesh.chosenAt.map({ now - $0 < Self.forwarderPatience }) ?? false
        {
            return present
        }
        func cost(_ member: Member) -> (Int, Int, Duration, PeerID) {
            let connection = openConnection(of: member)
            return (
                member.session.isConnectionSuspect ? 1 : 0,
                connection?.peerConnection.selectedPath?.isRelayed == true ? 1 : 0,
                connection?.peerConnection.roundTripTime ?? .seconds(1), member.peer
            )
        }
        let others = members.values.filter { $0 !== present && canForward($0, to: member) }
        let next =
            others.min { cost($0) < cost($1) }
            ?? present.flatMap {
                canForward($0, to: member) ? $0 : nil
            }
        member.mesh.forwarder = next?.peer
        member.mesh.chosenAt = now
        return next
    }

    /// Opens and closes mesh paths as neighbours come and go.
    mutating func updateMeshPaths(now: Instant) {
        let forwarders = self.forwarders
        for member in everybody { updateMeshPath(to: member, through: forwarders, now: now) }
    }

    mutating func updateMeshPath(to member: Member, now: Instant) {
        updateMeshPath(to: member, through: forwarders, now: now)
    }

    private mutating func updateMeshPath(to member: Member, through forwarders: [Member], now: Instant) {
        let isThere =
            configuration.paths.contains(.mesh) && member.cipher != nil && !member.isDormant && !isLeaving
            && isWelcome(member, now: now)
            && forwarders.contains { canForward($0, to: member) }
        guard isThere != member.session[.mesh].isOpen else { return }
        if isThere {
            member.session.pathOpened(.mesh, now: now)
            member.negotiation.hurry(now: now)
        } else {
            member.session.pathClosed(.mesh, now: now)
        }
        pump(member, now: now)
    }
}
