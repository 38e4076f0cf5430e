import SwarmTransport

/// What passed through an endpoint's UDP port so far.
public struct EndpointStatistics: Hashable, Sendable {
    public var packetsSent: Int
    public var bytesSent: Int
    public var packetsReceived: Int
    public var bytesReceived: Int
    /// Datagrams that the system refused to send, or that were too many for it.
    public var packetsDiscardedOnSend: Int
    /// Datagrams that came faster than they could be worked off.
    public var packetsDiscardedOnReceive: Int
    /// System calls that carried them.
    public var sendCalls: Int
    public var receiveCalls: Int

    init(_ counters: UDPPortCounters) {
        packetsSent = counters.datagramsSent
        bytesSent = counters.bytesSent
        packetsReceived = counters.datagramsReceived
        bytesReceived = counters.bytesReceived
        packetsDiscardedOnSend = counters.sendErrors + counters.sendDrops
        packetsDiscardedOnReceive = counters.receiveDrops
        sendCalls = counters.sendCalls
        receiveCalls = counters.receiveCalls
    }
}
