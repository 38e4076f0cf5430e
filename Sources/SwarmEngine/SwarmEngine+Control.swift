import ICE
public import SwarmBase

/// What the owner tells a running engine.
extension SwarmEngine {
    /// Whether the application keeps up. While paused, members are told to send no more than is under way already; this
    /// holds for those who come later too.
    public mutating func setPaused(_ paused: Bool, now: Instant) {
        guard paused != isPaused else { return }
        isPaused = paused
        for member in everybody {
            member.session.setPaused(paused)
            pump(member, now: now)
        }
        readMail(now: now)
    }

    /// Asks one more STUN server for the reflexive address of the socket: its name may take a while to resolve.
    public mutating func addSTUNServer(_ server: TransportAddress, now: Instant) {
        stun.addServer(server, now: now)
        stunHealth[server, default: PlaneHealth()].began(now: now)
        drainSTUN(now: now)
    }
}
