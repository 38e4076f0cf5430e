import CDatagram
import Glibc
import SwarmBase

/// Datagrams on their way into one system call: runs of equal-sized ones to one destination, each a single message.
///
/// The pieces point into the payloads, which therefore stay pinned during the call; nothing is copied.
@safe final class OutgoingBatch {
    /// The most datagrams of one message (UDP_MAX_SEGMENTS), and here of one call.
    static let maximumDatagrams = Int(SWARM_DATAGRAM_BATCH)
    /// The most bytes of one message: what an IPv4 datagram may hold, with room for headers.
    static let maximumBytes = 65_000

    /// The datagrams of each message, in order.
    private(set) var runs: [Int] = []
    /// All datagrams.
    private(set) var count = 0
    // Both have `maximumDatagrams` elements, and live as long as the batch.
    private let messages: UnsafeMutablePointer<swarm_outgoing>
    private let pieces: UnsafeMutablePointer<swarm_piece>

    init() {
        unsafe messages = .allocate(capacity: Self.maximumDatagrams)
        unsafe pieces = .allocate(capacity: Self.maximumDatagrams)
        unsafe messages.initialize(repeating: swarm_outgoing(), count: Self.maximumDatagrams)
        unsafe pieces.initialize(repeating: swarm_piece(), count: Self.maximumDatagrams)
        runs.reserveCapacity(Self.maximumDatagrams)
    }

    deinit {
        unsafe messages.deallocate()
        unsafe pieces.deallocate()
    }

    /// Chooses what the next call sends: all of it may be fragmented, or none.
    ///
    /// - Parameters:
    ///   - queue: what waits, from `head` on.
    ///   - offloadingFrom: the index in the queue from which on datagrams may be put together.
    func plan(_ queue: [Transmit], from head: Int, offloadingFrom: Int) {
        runs.removeAll(keepingCapacity: true)
        count = 0
        var index = head
        let forbidsFragmentation = head < queue.count && queue[head].forbidsFragmentation
        while index < queue.count, count < Self.maximumDatagrams,
            queue[index].forbidsFragmentation == forbidsFragmentation
        {
            let size = queue[index].payload.count
            let destination = queue[index].destination
            var length = 1
            if index >= offloadingFrom, size > 0 {
                var total = size
                while index + length < queue.count, count + length < Self.maximumDatagrams {
                    let next = queue[index + length].payload.count
                    guard next > 0, next <= size, total + next <= Self.maximumBytes,
                        queue[index + length].destination == destination,
                        queue[index + length].forbidsFragmentation == forbidsFragmentation
                    else { break }
                    total += next
                    length += 1
                    // Only the last may be shorter.
                    if next < size { break }
                }
            }
            let message = runs.count
            unsafe messages[message].destination = swarm_address(destination)
            unsafe messages[message].pieces = UnsafePointer(pieces + count)
            unsafe messages[message].piece_count = UInt32(length)
            unsafe messages[message].segment_size = length > 1 ? UInt16(size) : 0
            runs.append(length)
            count += length
            index += length
        }
    }

    /// Makes the call.
    ///
    /// - Returns: how many messages the kernel took, or the negative error number of the first.
    func send(_ queue: [Transmit], from head: Int, descriptor: CInt, isIPv4: Bool) -> Int {
        pin(queue, from: head, at: 0) {
            Int(unsafe swarm_send_datagrams(descriptor, isIPv4 ? 1 : 0, messages, UInt32(runs.count)))
        }
    }

    /// One frame for each payload keeps all of them in place until the call is done: at most 64.
    private func pin(_ queue: [Transmit], from head: Int, at index: Int, _ body: () -> Int) -> Int {
        guard index < count else { return body() }
        return unsafe queue[head + index].payload.withUnsafeBytes { bytes in
            unsafe pieces[index].bytes = bytes.baseAddress
            unsafe pieces[index].count = bytes.count
            return pin(queue, from: head, at: index + 1, body)
        }
    }
}

/// What one system call has received.
@safe final class IncomingBatch {
    /// How many messages a call reads at most.
    let capacity: Int
    /// How many the last call has read.
    private(set) var count = 0
    private let slotBytes: Int
    // `capacity` slots of `slotBytes`, and as many messages; both live as long as the batch.
    private let slots: UnsafeMutablePointer<UInt8>
    private let messages: UnsafeMutablePointer<swarm_incoming>

    init(capacity: Int, slotBytes: Int) {
        self.capacity = min(max(1, capacity), Int(SWARM_DATAGRAM_BATCH))
        self.slotBytes = slotBytes
        // Never touched before the kernel writes there, so that slots that are not used cost no memory.
        unsafe slots = .allocate(capacity: self.capacity * slotBytes)
        unsafe messages = .allocate(capacity: self.capacity)
        unsafe messages.initialize(repeating: swarm_incoming(), count: self.capacity)
    }

    deinit {
        unsafe slots.deallocate()
        unsafe messages.deallocate()
    }

    /// Reads what is there.
    ///
    /// - Parameter limit: how many messages at most; as many as there are slots by default.
    /// - Returns: 0, or the system's error number; `EAGAIN` when nothing is there.
    func receive(descriptor: CInt, limit: Int = .max) -> CInt {
        let most = UInt32(clamping: min(limit, capacity))
        let result = unsafe swarm_receive_datagrams(descriptor, slots, slotBytes, messages, most)
        count = max(0, Int(result))
        return result < 0 ? -result : 0
    }

    /// Who sent a message.
    func source(_ index: Int) -> TransportAddress {
        precondition(index < count)
        return TransportAddress(unsafe messages[index].source)
    }

    /// Whether a message was longer than a slot.
    func isTruncated(_ index: Int) -> Bool {
        precondition(index < count)
        return unsafe messages[index].is_truncated != 0
    }

    /// Where each datagram of a message begins and ends; the last one may be shorter.
    func segments(_ index: Int) -> DatagramSegments {
        precondition(index < count)
        return DatagramSegments(
            length: Int(unsafe messages[index].length), segmentSize: Int(unsafe messages[index].segment_size))
    }

    /// The bytes of one datagram.
    func bytes(_ index: Int, _ range: Range<Int>) -> [UInt8] {
        precondition(index < count && range.upperBound <= slotBytes)
        let start = unsafe slots + (index * slotBytes + range.lowerBound)
        return unsafe [UInt8](UnsafeBufferPointer(start: start, count: range.count))
    }
}

extension TransportAddress {
    fileprivate init(_ address: swarm_address) {
        self.init(IPAddress(high: address.high, low: address.low), port: address.port)
    }
}

extension swarm_address {
    fileprivate init(_ address: TransportAddress) {
        switch address.address {
        case .v4(let value): self.init(high: 0, low: 0xffff_0000_0000 | UInt64(value), port: address.port)
        case .v6(let high, let low): self.init(high: high, low: low, port: address.port)
        }
    }
}

/// The datagrams in one message: all of one size, but for the last (UDP_GRO).
struct DatagramSegments: Sequence, IteratorProtocol {
    private let length: Int
    private let size: Int
    private var start = 0
    private var isFirst = true

    /// - Parameter segmentSize: 0 when the message is one datagram.
    init(length: Int, segmentSize: Int) {
        self.length = length
        size = segmentSize > 0 ? segmentSize : length
    }

    /// Whether there are several.
    var isJoined: Bool { size < length }

    mutating func next() -> Range<Int>? {
        // A datagram without bytes is one, too.
        guard start < length || (isFirst && length == 0) else { return nil }
        isFirst = false
        let end = Swift.min(start + size, length)
        defer { start = end }
        return start..<end
    }
}
