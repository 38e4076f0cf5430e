/// The records of a datagram as their headers tell (RFC 6347 §4.1): type, version, epoch, sequence number and length.
enum RecordLayout {
    private static let headerSize = 13
    /// What AES-GCM adds to a record: nonce and tag (RFC 5288 §3).
    static let galoisOverhead = 24
    /// What ChaCha20-Poly1305 adds: the tag (RFC 7905 §2).
    static let chachaOverhead = 16

    /// How many bytes of `datagram` come before the first protected record that is too short to be one; all of them when
    /// there is none.
    ///
    /// A record that does not open is dropped without a word (RFC 6347 §4.1.2.7), whoever sent it. OpenSSL does so too,
    /// except when a record is shorter than what protection adds: that ends the session with an alert, and anyone who can
    /// write a datagram could end it.
    ///
    /// - Parameter overhead: asked for only when a record is shorter than that of any cipher may be.
    static func plausibleLength(of datagram: [UInt8], overhead: () -> Int) -> Int {
        var start = 0
        while datagram.count - start >= headerSize {
            let isProtected = datagram[start + 3] != 0 || datagram[start + 4] != 0
            let length = Int(datagram[start + 11]) << 8 | Int(datagram[start + 12])
            if isProtected, length < galoisOverhead, length < overhead() { return start }
            start += headerSize + length
        }
        return datagram.count
    }
}
