import SwarmBase
import Testing

@Suite struct BytesTests {
    @Test func fieldsRoundTrip() {
        var writer = ByteWriter()
        writer.integer(UInt8(7))
        writer.integer(UInt16(0x0102))
        writer.integer(UInt64.max - 1)
        writer.prefixed(by: UInt16.self, [1, 2, 3])
        writer.append([9])
        var reader = ByteReader(writer.bytes)
        #expect(reader.integer(UInt8.self) == 7)
        #expect(reader.integer(UInt16.self) == 0x0102)
        #expect(reader.integer(UInt64.self) == UInt64.max - 1)
        #expect(reader.prefixed(by: UInt16.self) == [1, 2, 3])
        #expect(reader.rest() == [9])
        #expect(reader.isAtEnd)
        #expect(reader.integer(UInt8.self) == nil)
    }

    @Test func refusesReadsPastTheEnd() {
        var reader = ByteReader([0, 5, 1])
        #expect(reader.prefixed(by: UInt16.self) == nil)
        #expect(reader.integer(UInt32.self) == nil)
        #expect(reader.bytes(-1) == nil)
    }

    @Test func hexadecimal() {
        #expect([UInt8](hexadecimal: "00fFa1") == [0, 255, 161])
        #expect([0, 255, 161].map { UInt8($0) }.hexadecimal == "00ffa1")
        #expect([UInt8](hexadecimal: "0") == nil)
        #expect([UInt8](hexadecimal: "0g") == nil)
    }

    @Test func instantsSaturate() {
        #expect(Instant.zero + .milliseconds(5) - .zero == .milliseconds(5))
        #expect(Instant.distantFuture + .seconds(1) == .distantFuture)
        #expect(Instant.distantFuture - .seconds(1) < .distantFuture)
        #expect(Optional.earlier(nil, Instant.zero) == .zero)
    }

    @Test func seededEntropyRepeats() {
        var a = Entropy.seed(1)
        var b = Entropy.seed(1)
        let first = a.bytes(20)
        #expect(first == b.bytes(20))
        #expect(first != a.bytes(20))
    }
}
