import CChecksum
import Testing

@Suite struct ChecksumTests {
    private func checksums(_ bytes: [UInt8]) -> (UInt32, UInt32) {
        unsafe bytes.withUnsafeBufferPointer {
            (
                unsafe swarm_crc32c(0, $0.baseAddress, $0.count),
                unsafe swarm_crc32c_table(0, $0.baseAddress, $0.count)
            )
        }
    }

    /// RFC 3720 §B.4 and the common check value.
    @Test(
        arguments: [
            (Array("123456789".utf8), 0xe306_9283),
            ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
            ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43),
            (Array(0..<32), 0x46dd_794e),
            (Array((0..<32).reversed()), 0x113f_db5c),
        ] as [([UInt8], UInt32)])
    func knownValues(bytes: [UInt8], value: UInt32) {
        let (fast, table) = checksums(bytes)
        #expect(fast == value)
        #expect(table == value)
    }

    @Test func bothWaysAgreeAtEveryLengthAndSplit() {
        let bytes = (0..<100).map { UInt8(truncatingIfNeeded: $0 &* 37) }
        for count in 0...bytes.count {
            let part = Array(bytes[..<count])
            let (fast, table) = checksums(part)
            #expect(fast == table)
            let split = count / 3
            let joined = unsafe part.withUnsafeBufferPointer { pointer -> UInt32 in
                let first = unsafe swarm_crc32c(0, pointer.baseAddress, split)
                return unsafe swarm_crc32c(first, pointer.baseAddress.map { unsafe $0 + split }, count - split)
            }
            #expect(joined == fast)
        }
    }
}
