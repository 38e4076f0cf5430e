internal import COpenSSL
public import SwarmBase

/// What a DTLS transport tells its owner.
public enum DTLSEvent: Equatable, Sendable {
    /// The handshake is finished and the peer's certificate is the promised one: records may pass.
    case connected
    /// It is over, and why.
    case failed(DTLSError)
    /// The peer said close_notify.
    case closed
}

/// One end of a DTLS 1.2 session (RFC 6347) over OpenSSL: datagrams in, datagrams out.
///
/// Contract: after any command or `handle…` drain `pollTransmit`, `pollReceived` and `pollEvent`, then read
/// `nextTimeout` again. OpenSSL reads the wall clock for its retransmissions: `nextTimeout` is its answer moved onto
/// the owner's clock, and `handleTimeout` before OpenSSL's own time does nothing but move it again.
///
/// No record is given out or taken before the peer's certificate has matched a fingerprint of its description.
@safe public struct DTLSTransport: ~Copyable {
    /// Who sends the ClientHello (RFC 5763 §5: the `active` side).
    public enum Role: Sendable { case client, server }

    private enum Phase: Equatable {
        case idle
        case handshaking
        /// The handshake is finished, but the peer's description with its fingerprint is not here yet.
        case unverified
        case connected
        case closed
        case failed(DTLSError)

        var isOver: Bool {
            switch self {
            case .closed, .failed: true
            case .idle, .handshaking, .unverified, .connected: false
            }
        }
    }

    public let role: Role
    private let certificate: DTLSCertificate
    private let configuration: DTLSConfiguration
    private let ssl: OpaquePointer
    private let wire: Wire
    private var phase = Phase.idle
    private var received = FIFO<[UInt8]>()
    private var events = FIFO<DTLSEvent>()
    /// The largest datagram of the handshake; `nil` once nothing of it can wait to be read. OpenSSL keeps records that
    /// came before their keys.
    private var largestEarlyDatagram: Int? = 0
    private var openedRecord = false
    private var retransmitAt: Instant?
    /// OpenSSL's record buffers: when they are looked after, and whether they were used since the last time.
    private var reviewAt: Instant?
    private var hasBuffers = true
    private var wasUsed = true

    /// When `handleTimeout` wants to be called; `nil` when nothing is outstanding.
    public var nextTimeout: Instant? { phase.isOver ? nil : .earlier(retransmitAt, reviewAt) }

    /// Makes one end of a session.
    ///
    /// - Parameters:
    ///   - expected: the fingerprints of the peer's description; empty when it has not come yet, then nothing passes
    ///     until `setExpected` is called.
    /// - Throws: `DTLSError.protocolFailure` when OpenSSL is out of memory.
    public init(
        role: Role, certificate: DTLSCertificate, expected: [DTLSFingerprint],
        configuration: DTLSConfiguration = DTLSConfiguration()
    ) throws(DTLSError) {
        ErrorQueue.clear()
        guard let ssl = unsafe SSL_new(certificate.context) else { throw ErrorQueue.takeError() }
        let wire = Wire(configuration: configuration, expected: expected)
        guard unsafe SSL_set_ex_data(ssl, 0, wire.opaque) == 1, let bio = unsafe DatagramBIO.make(for: wire) else {
            unsafe SSL_free(ssl)
            throw ErrorQueue.takeError()
        }
        unsafe SSL_set_bio(ssl, bio, bio)
        // Without this the handshake writes nothing at all, as the MTU may not be asked for.
        guard unsafe swarm_DTLS_set_link_mtu(ssl, CLong(configuration.maximumTransmissionUnit)) == 1 else {
            unsafe SSL_free(ssl)
            throw .protocolFailure("the MTU \(configuration.maximumTransmissionUnit) is too small")
        }
        unsafe DTLS_set_timer_cb(ssl) { ssl, last in unsafe DTLSTransport.retransmission(ssl, after: last) }
        switch role {
        case .client: unsafe SSL_set_connect_state(ssl)
        case .server: unsafe SSL_set_accept_state(ssl)
        }
        self.role = role
        self.certificate = certificate
        self.configuration = configuration
        unsafe self.ssl = ssl
        self.wire = wire
    }

    deinit { unsafe SSL_free(ssl) }

    /// What the peer must have been told of our certificate.
    public var localFingerprint: DTLSFingerprint { certificate.fingerprint }

    /// Whether records may pass.
    public var isConnected: Bool { phase == .connected }

    /// Whether nothing will ever pass again.
    public var isOver: Bool { phase.isOver }

    /// Whether the handshake is finished, with the certificate verified or not yet.
    public var isHandshakeFinished: Bool { phase == .connected || phase == .unverified }

    // MARK: Commands

    /// The client sends its ClientHello, the server begins to listen. A second call does nothing.
    public mutating func start(now: Instant) {
        guard phase == .idle else { return }
        phase = .handshaking
        advance(now: now)
    }

    /// Says which certificates the peer may have, once its description has come. A finished handshake is judged now.
    public mutating func setExpected(_ fingerprints: [DTLSFingerprint], now: Instant) {
        guard !phase.isOver else { return }
        wire.expected = fingerprints
        if phase == .unverified {
            takeBuffers()
            judgeCertificate()
        }
        readTimeout(now: now)
    }

    /// Whether the certificate the peer has shown matches one of `fingerprints`; `nil` while it has shown none.
    public func peerCertificateMatches(_ fingerprints: [DTLSFingerprint]) -> Bool? {
        guard isHandshakeFinished, let peer = unsafe SSL_get1_peer_certificate(ssl) else { return nil }
        defer { unsafe X509_free(peer) }
        return unsafe DTLSFingerprint.any(of: fingerprints, matches: peer)
    }

    /// The longest record that `send` takes, in bytes: OpenSSL's write buffer is made for it. What jumbo frames carry.
    public static let maximumRecordLength = 8960

    /// Seals one record of 1…`maximumRecordLength` bytes; it is ready in `pollTransmit`, 37 bytes longer. The MTU of
    /// the path does not bound it: the caller does.
    public mutating func send(_ record: [UInt8]) throws(DTLSError) {
        let datagram = try seal(record)
        if wire.outgoing.count < configuration.maximumQueuedDatagrams { wire.outgoing.append(datagram) }
    }

    /// Seals one record of 1…`maximumRecordLength` bytes and gives back its datagram, 37 bytes longer: the way of `send`
    /// without the queue. What waits in `pollTransmit` is older and has to leave first.
    public mutating func seal(_ record: [UInt8]) throws(DTLSError) -> [UInt8] {
        switch phase {
        case .idle, .handshaking, .unverified: throw .notConnected
        case .closed: throw .closed
        case .failed(let error): throw error
        case .connected: break
        }
        guard (1...Self.maximumRecordLength).contains(record.count) else { throw .invalidRecordLength(record.count) }
        takeBuffers()
        ErrorQueue.clear()
        let written = unsafe record.withUnsafeBytes { bytes in
            unsafe SSL_write(ssl, bytes.baseAddress, CInt(record.count))
        }
        guard written == CInt(record.count), let datagram = wire.outgoing.popLast() else {
            let error = ErrorQueue.takeError()
            fail(error)
            throw error
        }
        return datagram
    }

    /// Sends close_notify (once) and ends the session; an answer is not awaited (RFC 8446 §6.1 allows it). What is in
    /// `pollTransmit` still has to be sent.
    public mutating func close() {
        guard !phase.isOver else { return }
        if isHandshakeFinished {
            takeBuffers()
            ErrorQueue.clear()
            unsafe SSL_shutdown(ssl)
        }
        phase = .closed
        received.removeAll()
    }

    // MARK: Input

    /// Takes one datagram whose first byte is 20…63 (RFC 7983 §7).
    ///
    /// Garbage, and unprotected records once a handshake is finished, are dropped without a trace.
    ///
    /// - Returns: whether it held application data of the peer: proof that the peer sent it.
    @discardableResult
    public mutating func handle(datagram: [UInt8], now: Instant) -> Bool {
        guard phase != .idle, !phase.isOver, !datagram.isEmpty, datagram.count <= 0xffff else { return false }
        openedRecord = false
        if let largest = largestEarlyDatagram { largestEarlyDatagram = max(largest, datagram.count) }
        let length = RecordLayout.plausibleLength(of: datagram) { recordOverhead }
        guard length > 0 else { return false }
        takeBuffers()
        wire.incoming = length == datagram.count ? datagram : Array(datagram[..<length])
        advance(now: now)
        // What OpenSSL did not want to read is gone, as from a socket.
        wire.incoming = nil
        return openedRecord
    }

    /// Retransmits the last flight when its time has come, and gives back the memory of a session that is idle.
    public mutating func handleTimeout(now: Instant) {
        guard !phase.isOver else { return }
        if let deadline = retransmitAt, deadline <= now {
            takeBuffers()
            ErrorQueue.clear()
            if unsafe swarm_DTLSv1_handle_timeout(ssl) < 0 { fail(ErrorQueue.takeError()) }
            readTimeout(now: now)
        }
        if let deadline = reviewAt, deadline <= now {
            reviewAt = wasUsed ? now + configuration.idleTime : nil
            if !wasUsed { releaseBuffers() }
            wasUsed = false
        }
    }

    // MARK: Buffers

    /// OpenSSL's write functions rely on its buffers being there.
    private mutating func takeBuffers() {
        wasUsed = true
        guard !hasBuffers else { return }
        // Fails only for want of memory, and then what follows fails as well.
        hasBuffers = unsafe SSL_alloc_buffers(ssl) == 1
    }

    private mutating func releaseBuffers() {
        // Refused while something unread is in them.
        if hasBuffers, unsafe SSL_free_buffers(ssl) == 1 { hasBuffers = false }
    }

    // MARK: Output

    /// The next datagram to send to the peer.
    public mutating func pollTransmit() -> [UInt8]? { wire.outgoing.popFirst() }

    /// Whether a datagram waits in `pollTransmit`.
    public var hasTransmit: Bool { !wire.outgoing.isEmpty }

    /// The next record that the peer sent.
    public mutating func pollReceived() -> [UInt8]? { phase == .unverified ? nil : received.popFirst() }

    /// What happened; read after `pollReceived` is empty, as records before a close come first.
    public mutating func pollEvent() -> DTLSEvent? { events.popFirst() }

    // MARK: Inside

    /// What protection adds to each record. While no cipher is agreed upon such records only wait, and it is the most.
    private var recordOverhead: Int {
        guard let cipher = unsafe SSL_get_current_cipher(ssl) ?? SSL_get_pending_cipher(ssl) else {
            return RecordLayout.galoisOverhead
        }
        return unsafe SSL_CIPHER_get_cipher_nid(cipher) == NID_chacha20_poly1305
            ? RecordLayout.chachaOverhead : RecordLayout.galoisOverhead
    }

    private mutating func advance(now: Instant) {
        defer { readTimeout(now: now) }
        if phase == .handshaking, !continueHandshake() { return }
        readRecords()
    }

    /// - Returns: whether the handshake is finished.
    private mutating func continueHandshake() -> Bool {
        ErrorQueue.clear()
        let result = unsafe SSL_do_handshake(ssl)
        guard result == 1 else {
            let error = unsafe SSL_get_error(ssl, result)
            if error != SSL_ERROR_WANT_READ, error != SSL_ERROR_WANT_WRITE {
                let reason = ErrorQueue.takeError()
                fail(wire.sawMismatch ? .fingerprintMismatch : reason)
            }
            return false
        }
        phase = .unverified
        if !wire.expected.isEmpty { judgeCertificate() }
        return !phase.isOver
    }

    /// The check that everything rests on (RFC 8122 §6.2): made once more after the handshake, whatever was said during it.
    private mutating func judgeCertificate() {
        guard peerCertificateMatches(wire.expected) == true else {
            ErrorQueue.clear()
            unsafe SSL_shutdown(ssl)
            fail(.fingerprintMismatch)
            return
        }
        phase = .connected
        events.append(.connected)
    }

    private mutating func readRecords() {
        // A record is never longer than the datagram it came in.
        let capacity = max(wire.incoming?.count ?? 0, largestEarlyDatagram ?? 0, 1)
        while !phase.isOver {
            ErrorQueue.clear()
            var result: CInt = 0
            let record = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
                unsafe result = SSL_read(ssl, buffer.baseAddress, CInt(capacity))
                count = max(0, Int(result))
            }
            if result > 0 {
                openedRecord = true
                if received.count < configuration.maximumReceivedRecords { received.append(record) }
                // The usual datagram is one record: then there is no need to be told that nothing follows.
                if largestEarlyDatagram == nil, wire.incoming == nil, unsafe SSL_has_pending(ssl) == 0 { return }
                continue
            }
            switch unsafe SSL_get_error(ssl, result) {
            case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE:
                if isHandshakeFinished { largestEarlyDatagram = nil }
                return
            case SSL_ERROR_ZERO_RETURN:
                // What the peer said before is still to be read.
                unsafe SSL_shutdown(ssl)
                phase = .closed
                events.append(.closed)
                return
            default:
                fail(ErrorQueue.takeError())
                return
            }
        }
    }

    private mutating func fail(_ error: DTLSError) {
        guard !phase.isOver else { return }
        phase = .failed(error)
        received.removeAll()
        events.append(.failed(error))
    }

    private mutating func readTimeout(now: Instant) {
        guard !phase.isOver else { return }
        let left = unsafe swarm_DTLSv1_get_timeout(ssl)
        retransmitAt = left < 0 ? nil : now + min(.microseconds(left), configuration.maximumRetransmission)
        if isHandshakeFinished, hasBuffers, reviewAt == nil { reviewAt = now + configuration.idleTime }
    }

    /// The duration after a retransmission that waited `last` microseconds; 0 asks for the first.
    private static func retransmission(_ ssl: OpaquePointer?, after last: UInt32) -> UInt32 {
        guard let ssl = unsafe ssl, let wire = unsafe Wire.from(SSL_get_ex_data(ssl, 0)) else { return 1_000_000 }
        if last == 0 { return wire.initialTimeout }
        return min(last > .max / 2 ? .max : last * 2, wire.maximumTimeout)
    }
}
