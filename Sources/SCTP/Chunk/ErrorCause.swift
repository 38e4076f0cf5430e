/// The error causes this end sends or understands (RFC 9260 §3.3.10).
enum ErrorCause {
    static let staleCookie: UInt16 = 3
    static let outOfResource: UInt16 = 4
    static let unrecognisedChunk: UInt16 = 6
    static let unrecognisedParameters: UInt16 = 8
    static let noUserData: UInt16 = 9
    static let userInitiatedAbort: UInt16 = 12
    static let protocolViolation: UInt16 = 13

    /// The code of the first cause in an ABORT or ERROR chunk.
    static func first(in chunk: RawChunk, of packet: [UInt8]) -> UInt16? {
        var walker = ChunkWalker(packet, in: chunk.value)
        return walker.nextParameter()?.type
    }
}
