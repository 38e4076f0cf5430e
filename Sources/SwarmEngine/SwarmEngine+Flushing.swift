import SwarmBase

/// The end of a turn: what the owner hands in before it polls is answered together. Messages that were sent one after the other
/// share packets, and what came in several datagrams is acknowledged once.
extension SwarmEngine {
    /// The session of a member may have something for its paths.
    mutating func flush(_ member: Member, now: Instant) {
        flushTime = now
        guard !member.awaitsFlush else { return }
        member.awaitsFlush = true
        unflushed.append(member)
    }

    /// A connection may have something to send.
    mutating func flush(_ connection: Connection, now: Instant) {
        flushTime = now
        guard !connection.awaitsFlush else { return }
        connection.awaitsFlush = true
        unflushedConnections.append(connection)
    }

    /// Has members and connections say what they have to, until nobody has more: called by all that the owner polls.
    mutating func settle() {
        while !unflushed.isEmpty || !unflushedConnections.isEmpty {
            while let member = unflushed.popFirst() {
                member.awaitsFlush = false
                sendPackets(of: member, now: flushTime)
            }
            // What leaves makes room for more of a session.
            while let connection = unflushedConnections.popFirst() {
                connection.awaitsFlush = false
                drainTransmits(of: connection, now: flushTime)
                takeEvents(of: connection, now: flushTime)
            }
        }
    }
}
