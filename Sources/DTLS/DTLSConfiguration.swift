/// Bounds and times of one DTLS transport.
public struct DTLSConfiguration: Sendable {
    /// The largest datagram of the handshake in bytes, UDP payload (RFC 6347 §4.1.1): 1200 passes everywhere.
    public var maximumTransmissionUnit = 1200
    /// The time to the first retransmission of a flight: 100…200 ms, twice the round-trip time when that is known.
    /// RFC 6347 §4.2.4.1 says 1 s, and allows less where the application knows better: ICE has measured the path.
    public var initialRetransmission: Duration = .milliseconds(150)
    /// Where the doubling of that time ends; RFC 6347 §4.2.4.1 says 60 s.
    public var maximumRetransmission: Duration = .seconds(5)
    /// A session that neither sent nor received for this long (up to twice that) gives back the 18 KiB of its record
    /// buffers; the next record takes them anew.
    public var idleTime: Duration = .seconds(2)
    /// Datagrams that wait to be sent; what comes on top is lost, as on any path. At least one flight.
    public var maximumQueuedDatagrams = 256
    /// Records that wait to be read; what comes on top is lost.
    public var maximumReceivedRecords = 256

    public init() {}
}
