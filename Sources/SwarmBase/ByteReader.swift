/// Reads big-endian fields from untrusted bytes; every read checks the bound and returns `nil` past the end.
public struct ByteReader: Sendable {
    @usableFromInline let bytes: [UInt8]
    @usableFromInline var index: Int
    @usableFromInline let end: Int

    /// Reads all of `bytes`.
    @inlinable
    public init(_ bytes: [UInt8]) {
        self.bytes = bytes
        index = 0
        end = bytes.count
    }

    /// Reads a slice.
    @inlinable
    public init(_ slice: ArraySlice<UInt8>) {
        self.init(Array(slice))
    }

    /// How many bytes are left.
    @inlinable
    public var remaining: Int { end - index }

    /// Whether everything was read.
    @inlinable
    public var isAtEnd: Bool { index == end }

    /// The next big-endian integer of `T`'s width.
    @inlinable
    public mutating func integer<T: FixedWidthInteger & UnsignedInteger>(_: T.Type = T.self) -> T? {
        let width = T.bitWidth / 8
        guard remaining >= width else { return nil }
        var value: T = 0
        for offset in 0..<width {
            value = (T.bitWidth > 8 ? value << 8 : 0) | T(truncatingIfNeeded: bytes[index + offset])
        }
        index += width
        return value
    }

    /// The next `count` bytes.
    @inlinable
    public mutating func bytes(_ count: Int) -> [UInt8]? {
        guard count >= 0, remaining >= count else { return nil }
        defer { index += count }
        return Array(bytes[index..<index + count])
    }

    /// All bytes that are left.
    @inlinable
    public mutating func rest() -> [UInt8] {
        defer { index = end }
        return Array(bytes[index..<end])
    }

    /// The next bytes with a length of `T` before them.
    @inlinable
    public mutating func prefixed<T: FixedWidthInteger & UnsignedInteger>(by _: T.Type) -> [UInt8]? {
        guard let count = integer(T.self).flatMap({ Int(exactly: $0) }) else { return nil }
        return bytes(count)
    }
}

/// Writes big-endian fields.
public struct ByteWriter: Sendable {
    public var bytes: [UInt8]

    @inlinable
    public init(capacity: Int = 64) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    /// Appends a big-endian integer.
    @inlinable
    public mutating func integer<T: FixedWidthInteger & UnsignedInteger>(_ value: T) {
        var shift = T.bitWidth
        while shift > 0 {
            shift -= 8
            bytes.append(UInt8(truncatingIfNeeded: value >> T(shift)))
        }
    }

    /// Appends bytes as they are.
    @inlinable
    public mutating func append(_ more: some Sequence<UInt8>) {
        bytes.append(contentsOf: more)
    }

    /// Appends bytes with their count before them.
    ///
    /// - Precondition: the count fits `T`: what is too long was refused before it came here.
    @inlinable
    public mutating func prefixed<T: FixedWidthInteger & UnsignedInteger>(by _: T.Type, _ more: [UInt8]) {
        guard let count = T(exactly: more.count) else {
            preconditionFailure("a field of \(more.count) bytes does not fit its length")
        }
        integer(count)
        append(more)
    }
}
