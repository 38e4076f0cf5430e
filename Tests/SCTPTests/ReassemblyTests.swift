import SwarmBase
import Testing

@testable import SCTP

@Suite struct ReassemblyTests {
    /// One fragment, its payload standing for a packet.
    struct Piece {
        var tsn: TSN
        var chunk: DataChunk
        var bytes: [UInt8]
    }

    /// Cuts messages into pieces with consecutive numbers.
    private func pieces(
        _ messages: [(stream: UInt16, sequence: UInt16?, payload: [UInt8])], first: TSN, cut: Int
    ) -> [Piece] {
        var tsn = first
        var result: [Piece] = []
        for message in messages {
            var offset = 0
            while offset < message.payload.count {
                let end = min(message.payload.count, offset + cut)
                var flags: DataChunk.Flags = []
                if offset == 0 { flags.insert(.begin) }
                if end == message.payload.count { flags.insert(.end) }
                if message.sequence == nil { flags.insert(.unordered) }
                let bytes = Array(message.payload[offset..<end])
                var chunk = Self.blank
                chunk.tsn = tsn.wire
                chunk.stream = message.stream
                chunk.sequence = UInt32(message.sequence ?? 0)
                chunk.flags = flags
                chunk.payload = 0..<bytes.count
                result.append(Piece(tsn: tsn, chunk: chunk, bytes: bytes))
                tsn = tsn.next
                offset = end
            }
        }
        return result
    }

    private static var blank: DataChunk {
        var bytes = [UInt8](repeating: 0, count: 17)
        bytes[3] = 17
        guard let chunk = DataChunk(RawChunk(type: 0, flags: 0, value: 4..<17), in: bytes) else {
            preconditionFailure("a chunk with one byte of data is valid")
        }
        return chunk
    }

    private func add(_ piece: Piece, to reassembly: inout Reassembly) -> ([ReceivedMessage], Reassembly.Outcome) {
        var inbox = Inbox()
        let outcome = reassembly.add(piece.chunk, tsn: piece.tsn, in: piece.bytes, to: &inbox)
        return (inbox.takeMessages(), outcome)
    }

    /// Any order of arrival gives every message once and whole, and each stream's ordered ones in order; numbers wrap.
    @Test(arguments: UInt64(0)..<100)
    func anyOrderOfArrival(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var messages: [(stream: UInt16, sequence: UInt16?, payload: [UInt8])] = []
        var next: [UInt16: UInt16] = [:]
        var reassembly = Reassembly(maxMessageSize: 1000)
        for _ in 0..<20 {
            let stream = UInt16.random(in: 0..<3, using: &random)
            let payload = random.bytes(Int.random(in: 1...60, using: &random))
            if Bool.random(using: &random) {
                messages.append((stream, next[stream, default: 0], payload))
                next[stream, default: 0] &+= 1
            } else {
                messages.append((stream, nil, payload))
            }
        }
        let pieces = pieces(messages, first: TSN(initial: 0xffff_fff0), cut: 7).shuffled(using: &random)
        var delivered: [ReceivedMessage] = []
        for piece in pieces {
            let (ready, outcome) = add(piece, to: &reassembly)
            #expect(outcome == .accepted)
            delivered += ready
        }
        #expect(reassembly.heldBytes == 0 && reassembly.heldItems == 0 && reassembly.runCount == 0, "seed \(seed)")
        #expect(
            delivered.map(\.payload).sorted { $0.lexicographicallyPrecedes($1) }
                == messages.map(\.payload).sorted { $0.lexicographicallyPrecedes($1) }, "seed \(seed)")
        for stream in UInt16(0)..<3 {
            let sent = messages.filter { $0.stream == stream && $0.sequence != nil }.map(\.payload)
            let got = delivered.filter { $0.stream == stream }.map(\.payload).filter { sent.contains($0) }
            #expect(got == sent, "seed \(seed)")
        }
    }

    @Test func orderedSequenceWraps() {
        var reassembly = Reassembly(maxMessageSize: 100)
        var delivered = 0
        let first = TSN(initial: 1)
        for number in 0..<70_000 {
            let piece = pieces([(5, UInt16(truncatingIfNeeded: number), [1])], first: first + number, cut: 9)[0]
            delivered += add(piece, to: &reassembly).0.count
        }
        #expect(delivered == 70_000)
    }

    @Test func sizeLimit() {
        let first = TSN(initial: 1)
        for (size, expected) in [(2200, Reassembly.Outcome.accepted), (2201, .messageTooLarge)] {
            var reassembly = Reassembly(maxMessageSize: 1000)
            var last = Reassembly.Outcome.accepted
            for piece in pieces([(0, 0, [UInt8](repeating: 1, count: size))], first: first, cut: 100) {
                last = add(piece, to: &reassembly).1
            }
            #expect(last == expected)
        }
    }

    /// RFC 3758 §3.6: partial messages go, messages behind them are released, and their bytes with them.
    @Test func skipReleasesWhatWaited() {
        var reassembly = Reassembly(maxMessageSize: 1000)
        let all = pieces(
            [(1, 0, [1, 2, 3]), (1, 1, [4]), (1, 2, [5]), (2, 0, [6])], first: TSN(initial: .max), cut: 1)
        // The first message lacks its middle, the third is lost.
        var delivered: [ReceivedMessage] = []
        for index in [0, 2, 3, 5] { delivered += add(all[index], to: &reassembly).0 }
        #expect(delivered.map(\.payload) == [[6]])
        #expect(reassembly.heldBytes == 3)
        var inbox = Inbox()
        reassembly.skip(
            to: all[2].tsn, chunk: ForwardTSNChunk(cumulative: 0, skipped: [.init(stream: 1, sequence: 0)]), to: &inbox)
        #expect(inbox.takeMessages().map(\.payload) == [[4]])
        #expect(reassembly.heldBytes == 0 && reassembly.heldItems == 0)
        // Again, and of an older number: no change.
        reassembly.skip(
            to: all[2].tsn, chunk: ForwardTSNChunk(cumulative: 0, skipped: [.init(stream: 1, sequence: 0)]), to: &inbox)
        #expect(inbox.isEmpty)
        #expect(add(all[4], to: &reassembly).0.map(\.payload) == [[5]])
    }

    @Test func skipDeliversWholeMessagesItPasses() {
        var reassembly = Reassembly(maxMessageSize: 1000)
        let all = pieces([(1, 0, [1]), (1, 1, [2]), (1, 2, [3])], first: TSN(initial: 9), cut: 9)
        #expect(add(all[1], to: &reassembly).0.isEmpty)
        var inbox = Inbox()
        reassembly.skip(
            to: all[2].tsn, chunk: ForwardTSNChunk(cumulative: 0, skipped: [.init(stream: 1, sequence: 2)]), to: &inbox)
        #expect(inbox.takeMessages().map(\.payload) == [[2]])
        #expect(reassembly.heldItems == 0)
    }

    /// Fragments whose neighbours turned out to be something else can never become a message.
    @Test func orphansAreDropped() {
        var reassembly = Reassembly(maxMessageSize: 1000)
        let all = pieces([(1, 0, [1, 2, 3]), (1, 1, [4, 5])], first: TSN(initial: 9), cut: 1)
        _ = add(all[1], to: &reassembly)
        _ = add(all[3], to: &reassembly)
        reassembly.dropOrphans(cumulative: all[0].tsn - 1)
        #expect(reassembly.runCount == 2)
        // Everything to the last but one has arrived: the first run is closed on both sides, the other open above.
        reassembly.dropOrphans(cumulative: all[3].tsn)
        #expect(reassembly.runCount == 1 && reassembly.heldBytes == 1)
    }

    @Test func resetStartsStreamsAgain() {
        var reassembly = Reassembly(maxMessageSize: 1000)
        let first = TSN(initial: 1)
        #expect(add(pieces([(1, 0, [1])], first: first, cut: 9)[0], to: &reassembly).0.count == 1)
        #expect(add(pieces([(1, 5, [1])], first: first + 1, cut: 9)[0], to: &reassembly).0.isEmpty)
        #expect(add(pieces([(2, 5, [1])], first: first + 2, cut: 9)[0], to: &reassembly).0.isEmpty)
        reassembly.reset([1])
        #expect(reassembly.heldItems == 1)
        #expect(add(pieces([(1, 0, [2])], first: first + 3, cut: 9)[0], to: &reassembly).0.count == 1)
        reassembly.reset(nil)
        #expect(reassembly.heldItems == 0 && reassembly.heldBytes == 0)
    }
}

extension Inbox {
    /// The messages, in the order they were delivered.
    mutating func takeMessages() -> [ReceivedMessage] {
        var messages: [ReceivedMessage] = []
        while let event = popFirst() {
            guard case .message(let stream, let identifier, let payload) = event else { continue }
            messages.append(ReceivedMessage(stream: stream, payloadProtocol: identifier, payload: payload))
        }
        return messages
    }
}
