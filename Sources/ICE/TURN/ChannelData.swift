internal import SwarmBase

/// A TURN channel's number: 0x4000…0x4FFF (RFC 8656 §12).
struct ChannelNumber: Hashable, Sendable {
    let rawValue: UInt16

    static let range: ClosedRange<UInt16> = 0x4000...0x4fff

    init?(rawValue: UInt16) {
        guard Self.range.contains(rawValue) else { return nil }
        self.rawValue = rawValue
    }
}

/// Data with four bytes before it instead of a whole STUN message (RFC 8656 §12.4).
struct ChannelData: Hashable, Sendable {
    /// The number and the length.
    static let headerCount = 4

    var number: ChannelNumber
    var payload: [UInt8]

    init(number: ChannelNumber, payload: [UInt8]) {
        self.number = number
        self.payload = payload
    }

    /// Reads a datagram or a frame of a stream. Its length field counts: padding may follow, at most three bytes over a
    /// stream, any number over UDP (RFC 8656 §12.5).
    init?(parsing bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let number = reader.integer(UInt16.self).flatMap(ChannelNumber.init(rawValue:)),
            let payload = reader.prefixed(by: UInt16.self)
        else { return nil }
        self.init(number: number, payload: payload)
    }

    /// The bytes to send.
    ///
    /// - Parameter isPadded: fills up to a multiple of four, as streams need it.
    /// - Precondition: the payload has at most 65 535 bytes.
    func encoded(isPadded: Bool) -> [UInt8] {
        var writer = ByteWriter(capacity: payload.count + 7)
        writer.integer(number.rawValue)
        writer.prefixed(by: UInt16.self, payload)
        if isPadded { writer.append(repeatElement(0, count: (4 - payload.count % 4) % 4)) }
        return writer.bytes
    }
}
