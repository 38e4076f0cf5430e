public import SwarmBase

/// What a run did, as a hash, and in words for those who ask.
///
/// Keys, nonces and the DER of OpenSSL's signatures come from the system, so bytes differ between two runs of one seed. What
/// goes into the hash is behaviour: who was told what, when, by which path.
public struct BehaviourTrace: Sendable {
    /// FNV-1a over every line and its time.
    public private(set) var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    /// How many lines went into the hash.
    public private(set) var count = 0
    private let tellsPackets: Bool
    private let tell: (@Sendable (String) -> Void)?

    /// - Parameters:
    ///   - tellsPackets: whether each datagram and frame is told too: where two runs of one seed part can be seen there first.
    ///   - tell: takes each line; `nil` for the hash alone.
    public init(tellsPackets: Bool = false, tell: (@Sendable (String) -> Void)? = nil) {
        self.tellsPackets = tellsPackets
        self.tell = tell
    }

    /// Notes something that is part of the behaviour.
    public mutating func note(_ text: @autoclosure () -> String, at now: Instant) {
        let text = text()
        count += 1
        fold(UInt64(bitPattern: now.nanoseconds))
        fold(text.utf8)
        if let tell { tell("\(Self.stamp(now)) \(text)") }
    }

    /// Notes a datagram with every byte of it: for networks in which a seed decides all that is drawn.
    public mutating func note(_ datagram: Transmit, from source: TransportAddress, at now: Instant) {
        count += 1
        fold(UInt64(bitPattern: now.nanoseconds))
        for end in [source, datagram.destination] {
            fold(end.address.bytes)
            fold(UInt64(end.port))
        }
        fold(datagram.payload)
        if let tell {
            let bytes = datagram.payload.count
            tell("\(Self.stamp(now)) \(source) → \(datagram.destination): \(bytes) bytes, hash \(hash)")
        }
    }

    /// Tells something that is not: it may hold what differs between two runs of one seed.
    public func remark(_ text: @autoclosure () -> String, at now: Instant) {
        if let tell { tell("\(Self.stamp(now))   \(text())") }
    }

    /// Tells of a packet, if that is asked for.
    public func packet(_ text: @autoclosure () -> String, at now: Instant) {
        if tellsPackets { remark(text(), at: now) }
    }

    private mutating func fold(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }

    private mutating func fold(_ word: UInt64) {
        for shift in stride(from: 0, to: 64, by: 8) {
            hash = (hash ^ (word >> UInt64(shift) & 0xff)) &* 0x100_0000_01b3
        }
    }

    private static func stamp(_ now: Instant) -> String {
        let milliseconds = (now - .zero).nanosecondsClamped / 1_000_000
        let fraction = String(milliseconds % 1000 + 1000).dropFirst()
        let whole = String(milliseconds / 1000)
        return String(repeating: " ", count: max(0, 5 - whole.count)) + "\(whole).\(fraction)"
    }
}
