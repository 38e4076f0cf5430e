public import SwarmBase
import WebRTC

/// Signaling by datagram: hellos and signals straight over the node's socket, to addresses that some plane has told of.
/// It needs nobody but the two.
extension SwarmEngine {
    /// What such a message is, by its first byte.
    private enum Message {
        static let signal: UInt8 = 2
        static let record: UInt8 = 3
        static let hello: UInt8 = 4
    }

    /// Some plane says that members may be at these addresses: a hello is said to each, and repeated.
    public mutating func seek(_ addresses: [TransportAddress], plane: Plane, now: Instant) {
        guard configuration.usesConnections, !isLeaving else { return }
        for address in addresses where !hostAddresses.contains(address) {
            datagrams.seek(address, plane: plane, now: now)
        }
        sayHellos(now: now)
    }

    /// Whether anything carries a signal to a member at present.
    func carriesSignals(to member: Member) -> Bool {
        gun.isConnected || datagrams.endpoint(of: member.peer) != nil || usesMail(with: member)
            || reachesByMesh(member)
    }

    /// Says the hellos that are due.
    mutating func sayHellos(now: Instant) {
        guard !isLeaving else { return }
        while let (address, target) = datagrams.pollHello(now: now) {
            sayHello(to: address, target, wantsAnswer: true, now: now)
        }
    }

    private mutating func sayHello(
        to address: TransportAddress, _ target: DatagramPlane.Target, wantsAnswer: Bool, now: Instant
    ) {
        guard let record = presence(now: now)?.record else { return }
        let hello = Hello(
            presence: record, plane: target.plane, wantsAnswer: wantsAnswer, token: target.token, echo: target.echo)
        guard let sealed = try? hello.sealed(by: identity, topic: topic) else { return }
        send([Message.hello] + sealed, to: address)
    }

    private mutating func send(_ message: [UInt8], to address: TransportAddress) {
        for datagram in datagrams.cut(message) { transmits.append(Transmit(to: address, payload: datagram)) }
    }

    /// Sends a sealed signal to where the member answered last, if it did.
    mutating func sendByDatagram(signal sealed: [UInt8], to member: Member) {
        guard let address = datagrams.endpoint(of: member.peer), !member.blocked.contains(.direct) else { return }
        send([Message.signal] + sealed, to: address)
    }

    /// A direct path leads to this address: signals may go there too, in this run and the next.
    mutating func noteDirectAddress(of member: Member, _ connection: Connection, now: Instant) {
        guard let remote = connection.peerConnection.remoteAddress else { return }
        let plane = Plane.allCases.first { member.planes.contains($0) } ?? .mesh
        datagrams.seek(remote, plane: plane, now: now)
        keepEndpoints(of: member, now: now)
    }

    /// Those that were said hello to are told that we leave.
    mutating func sayGoodByes(now: Instant) {
        for member in everybody {
            for address in datagrams.endpoints(of: member.peer) {
                guard let target = datagrams.targets[address] else { continue }
                sayHello(to: address, target, wantsAnswer: false, now: now)
            }
        }
    }

    /// Takes a datagram that begins with `S`.
    mutating func receive(signaling datagram: [UInt8], from source: TransportAddress, now: Instant) {
        guard !isLeaving, let message = datagrams.receive(datagram, from: source, now: now), let type = message.first
        else { return }
        do throws(Refusal) {
            switch type {
            case Message.hello: try receive(hello: Array(message.dropFirst()), from: source, now: now)
            case Message.signal: try receive(signal: Array(message.dropFirst()), from: source, now: now)
            case Message.record: try receive(ownRecord: message, from: source, now: now)
            default: throw .malformed
            }
        } catch {
            refuse(error)
        }
        sayHellos(now: now)
    }

    private mutating func receive(
        hello sealed: [UInt8], from source: TransportAddress, now: Instant
    ) throws(Refusal) {
        // Only members come past the seal, so only they can cost us more than opening it.
        let plaintext = try topic.open(sealed, as: "hello")
        guard configuration.usesConnections, datagrams.mayOpen(now: now) else { return }
        let hello = try Hello(signed: plaintext, topic: topic)
        guard hello.presence.peer != peerID else { return datagrams.isOwn(source) }
        let plane = datagrams.targets[source]?.plane ?? hello.plane
        guard let member = takePresence(hello.presence, plane: plane, now: now) else {
            if let shown = recordToShow(insteadOf: hello.presence, now: now) {
                // Shorter than the hello: who sends one in another's name gains nothing.
                send(RelayDatagram.record(shown).bytes, to: source)
            }
            return
        }
        guard !member.blocked.contains(.direct) else { return }
        let isFirst = datagrams.endpoint(of: member.peer) == nil
        let (answer, isNewlyValidated) = datagrams.received(hello, from: source, now: now)
        if let answer { sayHello(to: source, answer, wantsAnswer: !answer.isValidated, now: now) }
        if isNewlyValidated {
            keepEndpoints(of: member, now: now)
            if isFirst { member.negotiation.hurry(now: now) }
            negotiate(with: member, now: now)
        }
        pump(member, now: now)
    }

    /// Takes a record of a former run of ours that is shown to us in answer to a hello, and says another.
    private mutating func receive(
        ownRecord message: [UInt8], from source: TransportAddress, now: Instant
    ) throws(Refusal) {
        guard let target = datagrams.targets[source], !target.isValidated, datagrams.mayOpen(now: now),
            case .record(let sealed) = try RelayDatagram(parsing: message)
        else { throw .notForUs }
        let record = try PresenceRecord(opening: sealed, topic: topic)
        guard record.peer == peerID else { throw .notForUs }
        if takeOwn(record, now: now) { datagrams.sayAgain(source, now: now) }
    }

    private mutating func receive(
        signal sealed: [UInt8], from source: TransportAddress, now: Instant
    ) throws(Refusal) {
        // Opening one costs a key exchange: only for those who have proved to be members.
        guard let peer = datagrams.targets[source]?.peer, datagrams.mayOpen(now: now) else { throw .notForUs }
        if members[peer]?.blocked.contains(.direct) == true { return }
        take(
            try Signal(opening: sealed, with: sessionKey, topic: topic), plane: datagrams.plane(of: source), now: now)
    }
}
