import SwarmBase
import WebRTC

/// Time: which members and connections have something due. None is looked at that nothing has happened to.
extension SwarmEngine {
    /// Runs the connections and members whose time has come.
    mutating func runAgenda(now: Instant) {
        consultConnections()
        while let connection = connectionAgenda.popDue(now: now) {
            if let at = connection.nextTimeout, now >= at {
                connection.peerConnection.handleTimeout(now: now)
                drain(connection, now: now)
            }
            if connection.peer == nil, let at = connection.expiresAt, now >= at { remove(connection, now: now) }
        }
        consultMembers()
        while let member = memberAgenda.popDue(now: now) {
            if let life = openConnection(of: member)?.peerConnection.lastReceived {
                member.session.noteLife(at: life)
            }
            let doubts = member.session.doubts
            member.session.handleTimeout(now: now)
            if member.session.doubts != doubts { probeLinks(now: now) }
            runRekeying(with: member, now: now)
            runMail(with: member, now: now)
            negotiate(with: member, now: now)
            if let at = member.slots.clearAt, now >= at { clearInbox(of: member, now: now) }
            rest(member, now: now)
            admitAgain(member, now: now)
            pump(member, now: now)
        }
    }

    /// When the next member or connection has something due.
    var nextOnAgenda: Instant? {
        mutating get {
            consultConnections()
            consultMembers()
            return .earlier(connectionAgenda.next, memberAgenda.next)
        }
    }

    /// Something changed that all members ask for.
    func touchEverybody() { for member in everybody { memberAgenda.touch(member) } }

    private mutating func consultConnections() {
        while let connection = connectionAgenda.popTouched() {
            guard connections[connection.id] === connection else {
                connectionAgenda.schedule(connection, at: nil)
                continue
            }
            var next = connection.nextTimeout
            if connection.peer == nil { next = .earlier(next, connection.expiresAt) }
            connectionAgenda.schedule(connection, at: next)
            // Restarts are the member's to ask for.
            if connection.takeStateChange(), let member = connection.peer.flatMap({ members[$0] }) {
                memberAgenda.touch(member)
            }
        }
    }

    private mutating func consultMembers() {
        while let member = memberAgenda.popTouched() {
            guard members[member.peer] === member else {
                memberAgenda.schedule(member, at: nil)
                continue
            }
            endRestartIfWell(member)
            var next = member.session.nextTimeout
            next = .earlier(next, negotiationTimeout(of: member))
            if member.session.isUp { next = .earlier(next, member.cipher?.nextTimeout) }
            next = .earlier(next, .earlier(mailTimeout(of: member), member.refusedUs?.until))
            next = .earlier(next, .earlier(member.slots.clearAt, restTime(of: member)))
            memberAgenda.schedule(member, at: next)
        }
    }
}
