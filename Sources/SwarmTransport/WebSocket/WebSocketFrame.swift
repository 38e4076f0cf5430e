import NIOCore

/// What a frame is (RFC 6455 §5.2).
enum WebSocketOpcode: UInt8 {
    case continuation = 0
    case text = 1
    case binary = 2
    case close = 8
    case ping = 9
    case pong = 10

    /// Control frames are whole and short (§5.5).
    var isControl: Bool { rawValue >= 8 }
}

/// What stands before the payload of a frame (RFC 6455 §5.2).
struct WebSocketFrameHeader: Equatable {
    /// The longest payload of a control frame (§5.5).
    static let longestControlPayload = 125

    let opcode: WebSocketOpcode
    let isFinal: Bool
    /// The four bytes of the mask as they lie in memory; `nil` for a frame without.
    let mask: UInt32?
    let payloadCount: Int
    /// How long the header itself is, 2…14.
    let byteCount: Int

    /// Reads the header at the start of `buffer`, which stays there.
    ///
    /// - Parameter maximumPayload: the longest payload that is accepted, in bytes.
    /// - Returns: `nil` when more bytes are needed.
    /// - Throws: the code to close with.
    init?(peeking buffer: ByteBuffer, maximumPayload: Int) throws(WebSocketViolation) {
        let start = buffer.readerIndex
        guard let first = buffer.getInteger(at: start, as: UInt8.self),
            let second = buffer.getInteger(at: start + 1, as: UInt8.self)
        else { return nil }
        // No extension has been agreed on: the reserved bits are 0.
        guard first & 0x70 == 0, let opcode = WebSocketOpcode(rawValue: first & 0x0f) else { throw .protocolError }
        (self.opcode, isFinal) = (opcode, first & 0x80 != 0)
        var place = start + 2
        switch second & 0x7f {
        case 126:
            guard let count = buffer.getInteger(at: place, as: UInt16.self) else { return nil }
            payloadCount = Int(count)
            place += 2
        case 127:
            guard let count = buffer.getInteger(at: place, as: UInt64.self) else { return nil }
            guard let count = Int(exactly: count) else { throw .tooLarge }
            payloadCount = count
            place += 8
        case let count: payloadCount = Int(count)
        }
        guard payloadCount <= maximumPayload else { throw .tooLarge }
        guard !opcode.isControl || isFinal && payloadCount <= Self.longestControlPayload else { throw .protocolError }
        if second & 0x80 != 0 {
            guard let mask = buffer.getInteger(at: place, endianness: .host, as: UInt32.self) else { return nil }
            self.mask = mask
            place += 4
        } else {
            mask = nil
        }
        byteCount = place - start
    }
}

/// What a peer did against RFC 6455 or a limit.
enum WebSocketViolation: Error {
    case protocolError, tooLarge

    /// The code it is told (§7.4.1).
    var code: UInt16 {
        switch self {
        case .protocolError: 1002
        case .tooLarge: 1009
        }
    }
}

/// Copies a payload and puts its mask on or takes it off (RFC 6455 §5.3), eight bytes at a time.
///
/// - Returns: whether what was written is ASCII.
/// - Precondition: `target` is at least as long as `source`.
private func copy(
    _ source: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer, mask: UInt32?
) -> Bool {
    precondition(target.count >= source.count, "the copy has its place")
    let key = UInt64(mask ?? 0)
    let word = key << 32 | key
    var seen: UInt64 = 0
    var place = 0
    // Each word lies within both.
    while place + 8 <= source.count {
        let value = unsafe source.loadUnaligned(fromByteOffset: place, as: UInt64.self) ^ word
        unsafe target.storeBytes(of: value, toByteOffset: place, as: UInt64.self)
        seen |= value
        place += 8
    }
    while place < source.count {
        // The mask's bytes in the order of memory.
        let value = unsafe source[place] ^ withUnsafeBytes(of: word) { unsafe $0[place & 7] }
        unsafe target[place] = value
        seen |= UInt64(value)
        place += 1
    }
    return seen & 0x8080_8080_8080_8080 == 0
}

extension ByteBuffer {
    /// Reads a payload of at most as many bytes as there are, without its mask.
    ///
    /// - Returns: the bytes, and whether all of them are ASCII, which is valid UTF-8.
    mutating func readPayload(_ count: Int, mask: UInt32?) -> (bytes: [UInt8], isASCII: Bool) {
        let count = min(count, readableBytes)
        var isASCII = true
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { target, initialized in
            isASCII = unsafe withUnsafeReadableBytes { source in
                let payload = unsafe UnsafeRawBufferPointer(rebasing: source[..<count])
                return unsafe copy(payload, to: UnsafeMutableRawBufferPointer(target), mask: mask)
            }
            initialized = count
        }
        moveReaderIndex(forwardBy: count)
        return (bytes, isASCII)
    }

    /// Appends a whole frame with this payload.
    ///
    /// - Parameter mask: what a client hides its payload with (§5.3), as it lies in memory; a server has none.
    mutating func writeFrame(_ opcode: WebSocketOpcode, _ payload: [UInt8], mask: UInt32?) {
        // The longest header is of 14 bytes.
        reserveCapacity(minimumWritableBytes: payload.count + 14)
        let bit: UInt8 = mask == nil ? 0 : 0x80
        writeInteger(0x80 | opcode.rawValue)
        switch payload.count {
        case ...125: writeInteger(bit | UInt8(payload.count))
        case ...0xffff:
            writeInteger(bit | 126)
            writeInteger(UInt16(payload.count))
        default:
            writeInteger(bit | 127)
            writeInteger(UInt64(payload.count))
        }
        guard let mask else {
            writeBytes(payload)
            return
        }
        writeInteger(mask, endianness: .host)
        unsafe writeWithUnsafeMutableBytes(minimumWritableBytes: payload.count) { target in
            _ = unsafe payload.withUnsafeBytes { unsafe copy($0, to: target, mask: mask) }
            return payload.count
        }
    }
}
