extension RandomAccessCollection {
    /// Where the elements that a condition holds for begin, by binary search; the end when it holds for none.
    ///
    /// - Parameter holds: holds for all elements behind the first that it holds for.
    @inlinable
    public func partitioningIndex(where holds: (Element) -> Bool) -> Index {
        var start = startIndex
        var length = distance(from: startIndex, to: endIndex)
        while length > 0 {
            let half = length / 2
            let middle = index(start, offsetBy: half)
            if holds(self[middle]) {
                length = half
            } else {
                start = index(after: middle)
                length -= half + 1
            }
        }
        return start
    }
}
