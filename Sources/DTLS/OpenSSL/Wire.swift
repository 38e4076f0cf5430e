internal import COpenSSL
internal import SwarmBase

/// What one `SSL` and its BIO see of us: the datagram being read, the datagrams written, the fingerprints to check.
///
/// OpenSSL holds an unretained pointer to it; the transport that owns both frees the `SSL` first.
final class Wire {
    /// The datagram under reading; OpenSSL takes it with one read, as from a socket.
    var incoming: [UInt8]?
    /// Datagrams that OpenSSL wrote, one per write call.
    var outgoing = FIFO<[UInt8]>()
    /// The most that `outgoing` holds.
    let maximumQueued: Int
    /// What the peer's certificate must match; empty while the peer's description is not known.
    var expected: [DTLSFingerprint]
    /// Whether a certificate was refused for its fingerprint.
    var sawMismatch = false
    let mtu: Int
    let initialTimeout: UInt32
    let maximumTimeout: UInt32

    init(configuration: DTLSConfiguration, expected: [DTLSFingerprint]) {
        maximumQueued = configuration.maximumQueuedDatagrams
        mtu = configuration.maximumTransmissionUnit
        initialTimeout = Self.microseconds(configuration.initialRetransmission)
        maximumTimeout = Self.microseconds(configuration.maximumRetransmission)
        self.expected = expected
    }

    private static func microseconds(_ duration: Duration) -> UInt32 {
        UInt32(clamping: duration.nanosecondsClamped / 1000)
    }

    /// The pointer that OpenSSL keeps for us.
    var opaque: UnsafeMutableRawPointer { unsafe Unmanaged.passUnretained(self).toOpaque() }

    /// The wire behind a pointer that `opaque` gave.
    static func from(_ pointer: UnsafeMutableRawPointer?) -> Wire? {
        guard let pointer = unsafe pointer else { return nil }
        return unsafe Unmanaged<Wire>.fromOpaque(pointer).takeUnretainedValue()
    }
}

/// A BIO that keeps the borders of datagrams.
///
/// A memory BIO would join the records of a flight, and answer the questions about the MTU with 0.
enum DatagramBIO {
    // A table of functions that OpenSSL only reads; written once, before any BIO exists, and never freed.
    private nonisolated(unsafe) static let method: OpaquePointer? = unsafe makeMethod()

    /// A BIO that reads from and writes to `wire`, which must outlive it.
    static func make(for wire: Wire) -> OpaquePointer? {
        guard let method = unsafe method, let bio = unsafe BIO_new(method) else { return nil }
        unsafe BIO_set_data(bio, wire.opaque)
        unsafe BIO_set_init(bio, 1)
        return unsafe bio
    }

    private static func makeMethod() -> OpaquePointer? {
        guard let method = unsafe BIO_meth_new(BIO_get_new_index() | swarm_BIO_TYPE_SOURCE_SINK(), "datagrams") else {
            return nil
        }
        unsafe BIO_meth_set_write(method) { bio, bytes, count in unsafe DatagramBIO.write(bio, bytes, count) }
        unsafe BIO_meth_set_read(method) { bio, bytes, count in unsafe DatagramBIO.read(bio, bytes, count) }
        unsafe BIO_meth_set_ctrl(method) { bio, command, _, _ in unsafe DatagramBIO.control(bio, command) }
        return unsafe method
    }

    private static func write(_ bio: OpaquePointer?, _ bytes: UnsafePointer<CChar>?, _ count: CInt) -> CInt {
        guard let wire = unsafe Wire.from(BIO_get_data(bio)), let bytes = unsafe bytes, count > 0 else { return -1 }
        // One more than that: a record that is being sealed is taken out again at once.
        if wire.outgoing.count <= wire.maximumQueued {
            unsafe wire.outgoing.append(Array(UnsafeRawBufferPointer(start: bytes, count: Int(count))))
        }
        return count
    }

    private static func read(_ bio: OpaquePointer?, _ bytes: UnsafeMutablePointer<CChar>?, _ count: CInt) -> CInt {
        guard let wire = unsafe Wire.from(BIO_get_data(bio)), let bytes = unsafe bytes, count > 0 else { return -1 }
        unsafe swarm_BIO_clear_retry_flags(bio)
        guard let datagram = wire.incoming else {
            unsafe swarm_BIO_set_retry_read(bio)
            return -1
        }
        wire.incoming = nil
        let taken = min(datagram.count, Int(count))
        unsafe UnsafeMutableRawBufferPointer(start: bytes, count: Int(count)).copyBytes(from: datagram.prefix(taken))
        return CInt(taken)
    }

    private static func control(_ bio: OpaquePointer?, _ command: CInt) -> CLong {
        switch command {
        case BIO_CTRL_FLUSH: 1
        case BIO_CTRL_DGRAM_QUERY_MTU: unsafe CLong(Wire.from(BIO_get_data(bio))?.mtu ?? 0)
        case BIO_CTRL_DGRAM_GET_MTU_OVERHEAD: 28
        default: 0
        }
    }
}
