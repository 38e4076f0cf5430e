import SwarmBase
import Testing

@Suite struct PartitioningIndexTests {
    @Test func findsWhereAConditionBeginsToHold() {
        for count in 0..<40 {
            let numbers = Array(0..<count)
            for bound in -1...count + 1 {
                let expected = numbers.firstIndex { $0 >= bound } ?? numbers.endIndex
                #expect(numbers.partitioningIndex { $0 >= bound } == expected)
                // Indices of a part count from where it lies.
                let part = numbers.dropFirst(3)
                #expect(part.partitioningIndex { $0 >= bound } == part.firstIndex { $0 >= bound } ?? part.endIndex)
            }
        }
    }
}
