import SwarmBase
import Testing

@testable import SCTP

/// Both sides of the bounds of `SCTPConfiguration`, and the ends of an association in every state.
@Suite struct LimitTests {
    private func connected(
        seed: UInt64 = 1, _ impairment: Impairment = Impairment(), _ change: (inout SCTPConfiguration) -> Void
    ) throws -> (ChannelPair, DataChannelID) {
        var configuration = SCTPConfiguration()
        change(&configuration)
        let pair = ChannelPair(
            seed: seed, impairment, configuration: configuration,
            remoteMaxMessageSize: configuration.maxMessageSize)
        pair.connect()
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        pair.run(for: .seconds(1))
        return (pair, id)
    }

    @Test func bufferedMessages() throws {
        let (pair, id) = try connected { $0.maxBufferedMessages = 100 }
        pair.impair { $0.isCut = true }
        for _ in 0..<100 { try pair.a.send([1], kind: .binary, on: id, now: pair.now) }
        #expect(throws: DataChannelError.bufferFull) {
            try pair.a.send([1], kind: .binary, on: id, now: pair.now)
        }
        // Those that were sent once count no more.
        pair.drain()
        try pair.a.send([1], kind: .binary, on: id, now: pair.now)
    }

    /// A message larger than the buffer goes when nothing else waits.
    @Test func messageLargerThanTheBuffer() throws {
        let (pair, id) = try connected { $0.maxBufferedBytes = 10_000 }
        try pair.a.send([UInt8](repeating: 1, count: 20_000), kind: .binary, on: id, now: pair.now)
        #expect(throws: DataChannelError.bufferFull) {
            try pair.a.send([1], kind: .binary, on: id, now: pair.now)
        }
        let done = pair.run(for: .seconds(5)) { $0.receivedByB.count == 1 }
        #expect(done)
    }

    @Test(arguments: [(100, true), (101, false)])
    func streams(id: UInt16, fits: Bool) throws {
        let (pair, _) = try connected { $0.maxStreams = 101 }
        if fits {
            _ = try pair.a.open(DataChannelOptions(label: "n", negotiatedID: id))
        } else {
            #expect(throws: DataChannelError.idUnavailable(id)) {
                try pair.a.open(DataChannelOptions(label: "n", negotiatedID: id))
            }
        }
    }

    /// The window doubles while the owner keeps up, to its limit, and not without traffic.
    @Test func receiveWindowGrows() throws {
        let (pair, id) = try connected {
            $0.maxMessageSize = 20_000
            $0.receiveWindow = 100_000
            $0.maxReceiveWindow = 300_000
        }
        #expect(pair.b.association.window == 100_000)
        for _ in 0..<80 { try pair.a.send([UInt8](repeating: 1, count: 20_000), kind: .binary, on: id, now: pair.now) }
        let done = pair.run(for: .seconds(20)) { $0.receivedByB.count == 80 }
        #expect(done && pair.b.association.window == 300_000 && pair.a.association.window == 100_000)
    }

    /// The largest message passes whatever window was configured.
    @Test func largeMessage() throws {
        let (pair, id) = try connected(Impairment(loss: 0.01, reordering: 0.01)) {
            $0.maxMessageSize = 8 << 20
            $0.receiveWindow = 100_000
            $0.maxReceiveWindow = 100_000
        }
        var random = SeededGenerator(seed: 9)
        let message = random.bytes(8 << 20)
        try pair.a.send(message, kind: .binary, on: id, now: pair.now)
        let done = pair.run(for: .seconds(600)) { $0.receivedByB.count == 1 }
        #expect(done)
        #expect(pair.receivedByB.first == message)
    }

    /// Fragments that come last one first, and inside out: pieces move a few times each at most.
    @Test(arguments: [true, false])
    func awkwardOrders(isBackwards: Bool) {
        var random = SeededGenerator(seed: 10)
        let message = random.bytes(8000)
        var reassembly = Reassembly(maxMessageSize: 10_000)
        var inbox = Inbox()
        let middle = message.count / 2
        let order =
            isBackwards
            ? Array(message.indices.reversed()) : (0..<middle).flatMap { [middle + $0, middle - 1 - $0] }
        for index in order {
            var flags: DataChunk.Flags = []
            if index == 0 { flags.insert(.begin) }
            if index == message.count - 1 { flags.insert(.end) }
            var bytes: [UInt8] = []
            bytes.append(
                OutgoingChunk(
                    tsn: UInt32(index), flags: flags, stream: 0, sequence: 0, payloadProtocol: 53),
                payload: [message[index]])
            guard
                let chunk = DataChunk(RawChunk(type: 0, flags: flags.rawValue, value: 4..<17), in: bytes)
            else { continue }
            let outcome = reassembly.add(chunk, tsn: TSN(initial: UInt32(index)), in: bytes, to: &inbox)
            #expect(outcome == .accepted)
        }
        #expect(inbox.takeMessages().map(\.payload) == [message])
        #expect(reassembly.heldBytes == 0)
    }

    /// So many SHUTDOWNs go unanswered, then it is over.
    @Test(arguments: [0, 2])
    func shutdownRetransmissions(limit: Int) throws {
        let (pair, _) = try connected { $0.maxShutdownRetransmissions = limit }
        var shutdowns = 0
        pair.filter = { toB, packet in
            var walker = ChunkWalker(packet: packet)
            while let chunk = walker.next() { if toB, chunk.type == 7 { shutdowns += 1 } }
            return false
        }
        pair.a.shutdown(now: pair.now)
        pair.run(for: .seconds(100))
        #expect(shutdowns == limit + 1)
        #expect(pair.eventsOfA.last == .disconnected(.unanswered))
    }

    /// A lone packet is acknowledged after the delay, two at once; all that is read together by one SACK.
    @Test func sacksAreDecidedWhenTheOwnerDrains() throws {
        let (pair, id) = try connected { $0.sackDelay = .milliseconds(30) }
        var sent: [[UInt8]] = []
        pair.filter = { toB, packet in
            if toB { sent.append(packet) }
            return !toB
        }
        for _ in 0..<7 {
            try pair.a.send([UInt8](repeating: 1, count: 1100), kind: .binary, on: id, now: pair.now)
        }
        pair.drain()
        #expect(sent.count == 7)
        pair.b.handle(packet: sent[0], now: pair.now)
        let early = pair.b.pollTransmit(now: pair.now)
        #expect(early == nil && pair.b.nextTimeout == pair.now + .milliseconds(30))
        for packet in sent[1...] { pair.b.handle(packet: packet, now: pair.now) }
        let sack = pair.b.pollTransmit(now: pair.now)
        let more = pair.b.pollTransmit(now: pair.now)
        #expect(sack != nil && more == nil)
    }

    // MARK: Ends

    private enum Moment: CaseIterable {
        case closed, cookieWait, cookieEchoed, established, shutdownPending, shutdownSent, shutdownReceived
        case shutdownAckSent, ended
    }

    /// Brings A into a state.
    private func pair(in moment: Moment, seed: UInt64) throws -> ChannelPair {
        let pair = ChannelPair(seed: seed)
        switch moment {
        case .closed: return pair
        case .cookieWait:
            pair.filter = { _, _ in false }
            pair.a.connect(now: pair.now)
            pair.drain()
            return pair
        case .cookieEchoed:
            pair.filter = { toB, packet in !toB || packet[12] != 10 }
            pair.a.connect(now: pair.now)
            pair.run(for: .milliseconds(100))
            return pair
        default: break
        }
        pair.connect()
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        pair.run(for: .seconds(1))
        switch moment {
        case .shutdownPending:
            pair.filter = { _, _ in false }
            try pair.a.send([1], kind: .binary, on: id, now: pair.now)
            pair.drain()
            pair.a.shutdown(now: pair.now)
        case .shutdownSent:
            pair.filter = { _, _ in false }
            pair.a.shutdown(now: pair.now)
            pair.drain()
        case .shutdownReceived:
            pair.filter = { toB, _ in !toB }
            try pair.a.send([1], kind: .binary, on: id, now: pair.now)
            pair.b.shutdown(now: pair.now)
            pair.run(for: .milliseconds(50))
        case .shutdownAckSent:
            pair.filter = { toB, _ in !toB }
            pair.b.shutdown(now: pair.now)
            pair.run(for: .milliseconds(50))
        case .ended:
            pair.a.abort(now: pair.now)
            pair.drain()
        case .closed, .cookieWait, .cookieEchoed, .established: break
        }
        return pair
    }

    private static let states: [Moment: SCTPAssociation.State] = [
        .closed: .closed, .cookieWait: .cookieWait, .cookieEchoed: .cookieEchoed, .established: .established,
        .shutdownPending: .shutdownPending, .shutdownSent: .shutdownSent, .shutdownReceived: .shutdownReceived,
        .shutdownAckSent: .shutdownAckSent, .ended: .ended,
    ]

    /// ABORT ends it at once in every state; the peer hears of it once there is one.
    @Test(arguments: Moment.allCases)
    private func abort(moment: Moment) throws {
        let pair = try pair(in: moment, seed: 5)
        let state = pair.a.association.state
        #expect(state == Self.states[moment])
        pair.filter = nil
        pair.a.abort(now: pair.now)
        pair.drain()
        #expect(pair.a.association.isEnded == true && pair.a.nextTimeout == nil)
        #expect(pair.eventsOfA.filter { if case .disconnected = $0 { true } else { false } }.count == 1)
        pair.run(for: .seconds(1))
        let isConnected = pair.eventsOfB.contains(.connected)
        #expect(pair.b.association.isEnded == isConnected)
    }

    /// SHUTDOWN ends it in every state within a bounded time, with or without an answer.
    @Test(arguments: Moment.allCases, [true, false])
    private func shutdown(moment: Moment, isAnswered: Bool) throws {
        let pair = try pair(in: moment, seed: 6)
        let state = pair.a.association.state
        #expect(state == Self.states[moment])
        pair.filter = isAnswered ? nil : { _, _ in false }
        pair.a.shutdown(now: pair.now)
        pair.run(for: .seconds(300))
        let isWaitingForData = moment == .shutdownPending || moment == .shutdownReceived
        // What was sent is not given up for lack of an answer: ICE says when.
        if isAnswered || !isWaitingForData {
            #expect(pair.a.association.isEnded == true && pair.a.nextTimeout == nil)
        } else {
            #expect(pair.a.association.isEnded == false)
        }
    }
}
