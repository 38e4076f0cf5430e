import SwarmBase

/// How a session behaves.
public struct SessionConfiguration: Sendable {
    /// The largest message, in bytes. A larger one is refused by the sender and passed over by the receiver.
    public var largestMessage = 16 << 20
    /// The largest message to one who knows lane 0 only (docs/protocol.md, "Lanes").
    public var largestPlainMessage = 1 << 20
    /// The most bytes that are held of incomplete messages of one member.
    public var largestIncomplete = 32 << 20
    /// How far a byte stream's writer may go beyond what was read: what 50 ms take at 160 Mbit/s.
    public var streamWindow = 1 << 20
    /// The most bytes of a byte stream that wait for acknowledgement.
    public var largestStreamBacklog = 1 << 20
    /// The most that all byte streams of one member may bring unread, beside 64 KiB each.
    public var largestUnread = 16 << 20
    /// How many byte streams there are with one member at most.
    public var mostStreams = 256
    /// What a member may send; `nil` for as much as it can.
    public var rateLimit: RateLimit?
    /// The most bytes that wait for acknowledgement by one member.
    public var largestBacklog = 64 << 20
    /// How many bytes of frames are put in one packet. With 12 KiB an envelope is 16 KiB of base64.
    public var largestPacket = 12 * 1024
    /// How many packets with data may be under way through the relay: fewer than the inbox has slots.
    public var relayWindow = 24
    /// How long an acknowledgement waits for company on the relay path.
    public var relayAcknowledgementDelay: Duration = .milliseconds(8)
    /// How often a direct path is asked whether it lives while something is owed there.
    public var directPingInterval: Duration = .seconds(2)
    /// How often it is asked while nothing is.
    public var idlePingInterval: Duration = .seconds(15)
    /// How often a direct path under suspicion is asked.
    public var suspectPingInterval: Duration = .milliseconds(500)
    /// How often the relay path is asked while messages go through it.
    public var relayPingInterval: Duration = .seconds(5)
    /// How often the relay path is asked while messages go the direct way.
    public var spareRelayPingInterval: Duration = .seconds(60)
    /// A member of whom nothing came for this long is away.
    public var awayAfter: Duration = .seconds(20)
    /// A member that is directly connected, and of whom nothing came for this long, is asked by every path. ICE's checks of a path
    /// that was silent for 2 s have been answered by then.
    public var quietAfter: Duration = .milliseconds(2_500)
    /// The same member is away when nothing came for this long: four questions by each path later, within 5 s of its end.
    public var directAwayAfter: Duration = .milliseconds(4_500)
    /// A member whose session did not answer for this long is away, whatever ICE hears of its machine.
    public var speechlessAfter: Duration = .seconds(40)
    /// A member of whom nothing came for this long counts as gone: it may have left without being heard.
    public var goneAfter: Duration = .seconds(60)

    public init() {}
}
