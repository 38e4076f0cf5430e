import SwarmBase

/// The 20 bytes that name a swarm: the SHA-1 of a v1 torrent's `info` dictionary (BEP 3), the first 20 bytes of a v2
/// one's SHA-256 (BEP 52), or any 20 bytes that the members of a swarm without a torrent agreed on.
///
/// Ordered as an unsigned big-endian number.
public struct InfoHash: Hashable, Sendable {
    @usableFromInline let high: UInt64
    @usableFromInline let middle: UInt64
    @usableFromInline let low: UInt32

    /// The number of bytes.
    public static let byteCount = 20

    /// Makes an info-hash from exactly 20 bytes; `nil` for any other count.
    @inlinable
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == Self.byteCount else { return nil }
        var (high, middle, low) = (UInt64(0), UInt64(0), UInt32(0))
        for byte in bytes {
            // What leaves one word at its upper end comes into the next at its lower one.
            high = high << 8 | middle >> 56
            middle = middle << 8 | UInt64(low >> 24)
            low = low << 8 | UInt32(byte)
        }
        (self.high, self.middle, self.low) = (high, middle, low)
    }

    /// Reads 40 hexadecimal digits in either case.
    public init?(hexadecimal text: some StringProtocol) {
        guard text.utf8.count == 2 * Self.byteCount, let bytes = [UInt8](hexadecimal: text) else { return nil }
        self.init(bytes: bytes)
    }

    /// Reads 32 characters of RFC 4648 §6 base32 in either case, without padding.
    public init?(base32 text: some StringProtocol) {
        guard text.utf8.count == 32 else { return nil }
        var bytes: [UInt8] = []
        var accumulator: UInt32 = 0
        var bits = 0
        for character in text.utf8 {
            let digit: UInt8
            switch character {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = character - UInt8(ascii: "A")
            case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = character - UInt8(ascii: "a")
            case UInt8(ascii: "2")...UInt8(ascii: "7"): digit = character - UInt8(ascii: "2") + 26
            default: return nil
            }
            accumulator = (accumulator << 5 | UInt32(digit)) & 0xfff
            bits += 5
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: accumulator >> UInt32(bits)))
            }
        }
        self.init(bytes: bytes)
    }

    /// Reads a "binary string": 20 Unicode scalars U+0000…U+00FF, one for each byte (WebTorrent trackers).
    public init?(latin1 text: String) {
        var bytes: [UInt8] = []
        for scalar in text.unicodeScalars {
            guard let byte = UInt8(exactly: scalar.value), bytes.count < Self.byteCount else { return nil }
            bytes.append(byte)
        }
        self.init(bytes: bytes)
    }

    /// Reads the UTF-8 of a "binary string", as it stands in a tracker's JSON.
    @inlinable
    public init?(latin1UTF8 bytes: some Sequence<UInt8>) {
        var (high, middle, low) = (UInt64(0), UInt64(0), UInt32(0))
        var count = 0
        var lead: UInt8 = 0
        for byte in bytes {
            var value = byte
            if lead != 0 {
                guard byte & 0xc0 == 0x80 else { return nil }
                value = lead << 6 | byte & 0x3f
                lead = 0
            } else if byte >= 0x80 {
                // U+0080…U+00FF begin with one of two bytes.
                guard byte & 0xfe == 0xc2 else { return nil }
                lead = byte
                continue
            }
            high = high << 8 | middle >> 56
            middle = middle << 8 | UInt64(low >> 24)
            low = low << 8 | UInt32(value)
            count += 1
        }
        guard count == Self.byteCount, lead == 0 else { return nil }
        (self.high, self.middle, self.low) = (high, middle, low)
    }

    /// The 20 bytes in order.
    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.byteCount)
        for shift in stride(from: UInt64(56), through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: high >> shift))
        }
        for shift in stride(from: UInt64(56), through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: middle >> shift))
        }
        for shift in stride(from: UInt32(24), through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: low >> shift))
        }
        return bytes
    }

    /// The bytes as 20 Unicode scalars U+0000…U+00FF. Compare as scalars or bytes, never as Swift `String`s.
    public var latin1: String {
        var text = String.UnicodeScalarView()
        for byte in bytes { text.append(Unicode.Scalar(byte)) }
        return String(text)
    }
}

extension InfoHash: Comparable {
    public static func < (a: InfoHash, b: InfoHash) -> Bool {
        (a.high, a.middle, a.low) < (b.high, b.middle, b.low)
    }
}

extension InfoHash: LosslessStringConvertible {
    /// Reads what a magnet link may carry after `urn:btih:`: 40 hexadecimal digits or 32 base32 characters.
    public init?(_ description: String) {
        switch description.utf8.count {
        case 40: self.init(hexadecimal: description)
        case 32: self.init(base32: description)
        default: return nil
        }
    }

    /// 40 lower-case hexadecimal digits.
    public var description: String { bytes.hexadecimal }
}

/// The SHA-256 of a v2 torrent's `info` dictionary (BEP 52).
public struct InfoHashV2: Hashable, Sendable, CustomStringConvertible {
    /// The 32 bytes in order.
    public let bytes: [UInt8]

    /// Makes a v2 info-hash from exactly 32 bytes; `nil` for any other count.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        self.bytes = Array(bytes)
    }

    /// Reads a multihash in hexadecimal digits: `1220` (SHA-256, 32 bytes) and 64 digits, in either case.
    public init?(multihash text: some StringProtocol) {
        guard text.utf8.count == 68, text.utf8.starts(with: "1220".utf8) else { return nil }
        guard let bytes = [UInt8](hexadecimal: text.dropFirst(4)) else { return nil }
        self.init(bytes: bytes)
    }

    /// `1220` and 64 lower-case hexadecimal digits.
    public var multihash: String { "1220" + bytes.hexadecimal }

    /// The first 20 bytes, which trackers, the DHT and the peer wire use (BEP 52, "info-hash").
    public var truncated: InfoHash {
        // 20 of 32 bytes: the initializer cannot fail.
        guard let hash = InfoHash(bytes: bytes.prefix(InfoHash.byteCount)) else { preconditionFailure("32 bytes") }
        return hash
    }

    /// 64 lower-case hexadecimal digits.
    public var description: String { bytes.hexadecimal }
}
