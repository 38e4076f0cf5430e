import SwarmBase
import Testing

@testable import SCTP

@Suite struct ChunkTests {
    private func packet(tag: UInt32 = 7, _ write: (inout [UInt8]) -> Void) -> [UInt8] {
        var packet: [UInt8] = []
        PacketHeader(sourcePort: 5000, destinationPort: 5000, verificationTag: tag).write(to: &packet)
        write(&packet)
        packet.sealPacket()
        return packet
    }

    private func only(_ packet: [UInt8]) throws -> RawChunk {
        var walker = ChunkWalker(packet: packet)
        let chunk = try required(walker.next())
        #expect(walker.next() == nil)
        return chunk
    }

    @Test func headerNeedsTheRightChecksum() throws {
        let good = packet { $0.appendChunk(.cookieAck) }
        #expect(
            PacketHeader(packet: good) == PacketHeader(sourcePort: 5000, destinationPort: 5000, verificationTag: 7))
        #expect(good.count == 16)
        for index in good.indices {
            var bad = good
            bad[index] ^= 1
            #expect(PacketHeader(packet: bad) == nil)
        }
        #expect(PacketHeader(packet: Array(good.dropLast())) == nil)
        #expect(PacketHeader(packet: []) == nil)
    }

    /// The checksum is stored least significant byte first, unlike all other fields.
    @Test func checksumByteOrder() {
        let bytes = packet { $0.appendChunk(.cookieAck) }
        var zeroed = bytes
        for index in 8..<12 { zeroed[index] = 0 }
        let crc = zeroed.packetChecksum
        #expect(bytes[8] == UInt8(truncatingIfNeeded: crc) && bytes[11] == UInt8(crc >> 24))
    }

    @Test func walkerToleratesMissingPaddingAndStopsAtNonsense() throws {
        var bytes = [UInt8](repeating: 0, count: 12)
        bytes += [10, 0, 0, 5, 0xaa, 0, 0, 0, 11, 0, 0, 6, 1, 2]
        var walker = ChunkWalker(packet: bytes)
        #expect(walker.next() == RawChunk(type: 10, flags: 0, value: 16..<17))
        #expect(walker.next() == RawChunk(type: 11, flags: 0, value: 24..<26))
        #expect(walker.next() == nil)
        for length in [UInt8(0), 3, 9] {
            var walker = ChunkWalker(packet: [UInt8](repeating: 0, count: 12) + [0, 0, 0, length, 0, 0, 0, 0])
            #expect(walker.next() == nil)
            #expect(walker.next() == nil)
        }
    }

    @Test func dataRoundTrip() throws {
        let outgoing = OutgoingChunk(
            tsn: .max, flags: [.begin, .unordered], stream: 0x1234, sequence: 0xfffe, payloadProtocol: 51)
        let bytes = packet { $0.append(outgoing, payload: Array(2..<7)) }
        #expect(bytes.count == 12 + 24)
        let chunk = try #require(DataChunk(try only(bytes), in: bytes))
        #expect(chunk.tsn == .max && chunk.stream == 0x1234 && chunk.sequence == 0xfffe)
        #expect(chunk.payloadProtocol == 51 && chunk.flags == [.begin, .unordered])
        #expect(Array(bytes[chunk.payload]) == [2, 3, 4, 5, 6])
        #expect(DataChunk(RawChunk(type: 0, flags: 3, value: 16..<28), in: bytes) == nil)
        #expect(DataChunk(RawChunk(type: 0, flags: 3, value: 16..<29), in: bytes) != nil)
    }

    /// RFC 8260 §2.1: the protocol is in the first fragment only, the fragment's number in the others.
    @Test(arguments: [true, false])
    func interleavedDataRoundTrip(isFirst: Bool) throws {
        let outgoing = OutgoingChunk(
            tsn: 7, flags: isFirst ? .begin : .end, stream: 0x1234, sequence: 0xffff_fffe, fragment: isFirst ? 0 : 9,
            payloadProtocol: 51, isInterleaved: true)
        let bytes = packet { $0.append(outgoing, payload: Array(2..<7)) }
        #expect(bytes.count == 12 + 28)
        let raw = try only(bytes)
        #expect(raw.type == 64)
        let chunk = try #require(DataChunk(interleaved: raw, in: bytes))
        #expect(chunk.tsn == 7 && chunk.stream == 0x1234 && chunk.sequence == 0xffff_fffe && chunk.isInterleaved)
        #expect(chunk.fragment == (isFirst ? 0 : 9) && chunk.payloadProtocol == (isFirst ? 51 : 0))
        #expect(Array(bytes[chunk.payload]) == [2, 3, 4, 5, 6])
        #expect(DataChunk(interleaved: RawChunk(type: 64, flags: 3, value: 16..<32), in: bytes) == nil)
        #expect(DataChunk(interleaved: RawChunk(type: 64, flags: 3, value: 16..<33), in: bytes) != nil)
    }

    /// A packet that must grow, one of the size it was made for, and part of a message.
    @Test func packetWriter() {
        let chunk = OutgoingChunk(tsn: 1, flags: .end, stream: 2, sequence: 3, payloadProtocol: 4)
        for capacity in [0, 12, 16, 44, 1188] {
            var writer = PacketWriter(capacity: capacity)
            writer.start(PacketHeader(sourcePort: 5000, destinationPort: 5001, verificationTag: 7))
            writer.append([11, 0, 0, 4])
            writer.append(chunk, payload: Array(0..<20), range: 3..<8)
            let bytes = writer.finish(checksum: true)
            #expect(bytes.count == 12 + 4 + 24 && Array(bytes[32..<40]) == [3, 4, 5, 6, 7, 0, 0, 0])
            #expect(
                PacketHeader(packet: bytes)
                    == PacketHeader(sourcePort: 5000, destinationPort: 5001, verificationTag: 7))
        }
    }

    /// RFC 9653: no checksum only where that was agreed, and then a wrong one is still wrong.
    @Test func zeroChecksum() {
        var bytes = packet { $0.appendChunk(.cookieAck) }
        for index in 8..<12 { bytes[index] = 0 }
        #expect(PacketHeader(packet: bytes) == nil)
        #expect(PacketHeader(packet: bytes, acceptsZero: true) != nil)
        bytes[8] = 1
        #expect(PacketHeader(packet: bytes, acceptsZero: true) == nil)
    }

    @Test func sackRoundTripAndFalseCounts() throws {
        let sack = SackChunk(
            cumulative: 9, window: 1000, gaps: [.init(first: 2, last: 3), .init(first: 7, last: 65_535)],
            duplicates: [4, 4])
        var bytes = packet { sack.write(to: &$0) }
        #expect(SackChunk(try only(bytes), in: bytes) == sack)
        bytes[12 + 13] = 3
        #expect(SackChunk(try only(bytes), in: bytes) == nil)
    }

    @Test func initiationRoundTrip() throws {
        let chunk = InitiationChunk(
            tag: 1, window: 2, outboundStreams: 3, inboundStreams: 4, initialTSN: 5, supportsInterleaving: true,
            acceptsZeroChecksum: true, cookie: [1, 2, 3, 4, 5])
        let bytes = packet { chunk.write(to: &$0, as: .initiationAck) }
        #expect(InitiationChunk(try only(bytes), in: bytes) == chunk)
    }

    /// Chromium's and Firefox's parameters beside unknown ones of all four kinds (RFC 9260 §3.2.1).
    @Test func initiationParameters() throws {
        var value: [UInt8] = []
        for number: UInt32 in [7, 5_242_880] { value.append(uint32: number) }
        value += [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9]
        value.appendParameter(0x8008, value: [130, 192, 64, 194])
        value.appendParameter(0x8001, value: [0, 0, 0, 1])
        value.appendParameter(0x9999, value: [1])
        value.appendParameter(0xd999, value: [2, 3])
        value.appendParameter(0x4999, value: [4])
        value.appendParameter(0xc000)
        let bytes = packet(tag: 0) { $0.appendChunk(.initiation, value: value) }
        let chunk = try #require(InitiationChunk(try only(bytes), in: bytes))
        #expect(chunk.supportsReconfiguration && chunk.supportsForwardTSN)
        #expect(chunk.supportsInterleaving && chunk.acceptsZeroChecksum)
        #expect(chunk.unrecognised == [[0xd9, 0x99, 0, 6, 2, 3], [0x49, 0x99, 0, 5, 4]])
        #expect(chunk.window == 5_242_880 && chunk.initialTSN == 9 && chunk.cookie == nil)
    }

    @Test(arguments: [0..<4, 8..<10, 10..<12])
    func initiationWithoutTagOrStreamsIsRefused(zeroed: Range<Int>) throws {
        let chunk = InitiationChunk(tag: 1, window: 2, outboundStreams: 3, inboundStreams: 4, initialTSN: 5)
        var bytes = packet { chunk.write(to: &$0, as: .initiation) }
        for index in zeroed { bytes[16 + index] = 0 }
        #expect(InitiationChunk(try only(bytes), in: bytes) == nil)
    }

    @Test func forwardTSNRoundTrip() throws {
        let chunk = ForwardTSNChunk(cumulative: 3, skipped: [.init(stream: 1, sequence: 65_535)])
        let bytes = packet { chunk.write(to: &$0) }
        #expect(ForwardTSNChunk(try only(bytes), in: bytes) == chunk)
        let interleaved = ForwardTSNChunk(
            cumulative: 3,
            skipped: [.init(stream: 1, sequence: .max), .init(stream: 2, sequence: 9, isUnordered: true)],
            isInterleaved: true)
        let more = packet { interleaved.write(to: &$0) }
        #expect(more.count == 12 + 8 + 16)
        #expect(ForwardTSNChunk(try only(more), in: more) == interleaved)
    }

    @Test(arguments: [[], [1], [1, 2], [1, 2, 65_534]] as [[UInt16]])
    func reconfigurationRoundTrip(streams: [UInt16]) throws {
        let chunk = ReconfigurationChunk([
            .response(request: 8, result: .inProgress),
            .outgoingReset(request: 1, response: 2, lastTSN: 3, streams: streams),
        ])
        let bytes = packet { chunk.write(to: &$0) }
        #expect(bytes.count % 4 == 0)
        #expect(ReconfigurationChunk(try only(bytes), in: bytes) == chunk)
    }

    @Test func unknownTypesSayWhatToDo() {
        #expect(!UnknownTypeAction(chunkType: 0x3f).continues && !UnknownTypeAction(chunkType: 0x3f).reports)
        #expect(!UnknownTypeAction(chunkType: 0x7f).continues && UnknownTypeAction(chunkType: 0x7f).reports)
        #expect(UnknownTypeAction(chunkType: 0xbf).continues && !UnknownTypeAction(chunkType: 0xbf).reports)
        #expect(UnknownTypeAction(chunkType: 0xff).continues && UnknownTypeAction(chunkType: 0xff).reports)
    }

    /// Every parser on mutated and on random bytes: no trap, and nothing read outside its chunk.
    @Test func parsersSurviveMutation() {
        var random = SeededGenerator(seed: 11)
        var seeds: [[UInt8]] = []
        seeds.append(packet { SackChunk(cumulative: 9, window: 9, gaps: [.init(first: 2, last: 3)]).write(to: &$0) })
        seeds.append(
            packet {
                InitiationChunk(
                    tag: 1, window: 2, outboundStreams: 3, inboundStreams: 4, initialTSN: 5, cookie: [1, 2, 3]
                ).write(to: &$0, as: .initiationAck)
            })
        seeds.append(
            packet { ForwardTSNChunk(cumulative: 3, skipped: [.init(stream: 1, sequence: 2)]).write(to: &$0) })
        seeds.append(
            packet {
                ReconfigurationChunk([.outgoingReset(request: 1, response: 2, lastTSN: 3, streams: [1, 2, 3])])
                    .write(to: &$0)
            })
        seeds.append(
            ControlMessage.open(DataChannelOptions(label: "grüße", protocol: "p", isOrdered: false)).bytes)
        for round in 0..<20_000 {
            var bytes = seeds[round % seeds.count]
            if round % 7 == 0 { bytes = random.bytes(Int.random(in: 0...80, using: &random)) }
            for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if round % 3 == 0 { bytes.removeLast(Int.random(in: 0...min(9, bytes.count), using: &random)) }
            _ = PacketHeader(packet: bytes)
            _ = try? ControlMessage(parsing: bytes)
            var walker = ChunkWalker(packet: bytes)
            while let chunk = walker.next() {
                #expect(chunk.value.upperBound <= bytes.count)
                _ = DataChunk(chunk, in: bytes)
                _ = DataChunk(interleaved: chunk, in: bytes)
                _ = SackChunk(chunk, in: bytes)
                _ = InitiationChunk(chunk, in: bytes)
                _ = ForwardTSNChunk(chunk, in: bytes)
                _ = ReconfigurationChunk(chunk, in: bytes)
                _ = ErrorCause.first(in: chunk, of: bytes)
            }
        }
    }
}

@Suite struct ControlMessageTests {
    /// What a browser writes for an ordered, reliable channel "main" (priority 256).
    @Test func openAsSeen() throws {
        let bytes: [UInt8] = [3, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0] + Array("main".utf8)
        let options = DataChannelOptions(label: "main")
        #expect(ControlMessage.open(options).bytes == bytes)
        #expect(try ControlMessage(parsing: bytes) == .open(options))
        #expect(ControlMessage.ack.bytes == [2])
        #expect(try ControlMessage(parsing: [2]) == .ack)
    }

    /// The unordered bit goes with every reliability; lengths count bytes, not characters.
    @Test(
        arguments: [
            (.reliable, true, 0x00), (.reliable, false, 0x80), (.maxRetransmits(3), true, 0x01),
            (.maxRetransmits(0), false, 0x81), (.maxPacketLifeTime(500), true, 0x02),
            (.maxPacketLifeTime(65_535), false, 0x82),
        ] as [(DataChannelOptions.Reliability, Bool, UInt8)])
    func channelTypes(reliability: DataChannelOptions.Reliability, isOrdered: Bool, type: UInt8) throws {
        let options = DataChannelOptions(
            label: "größe 🐝", protocol: "προτοκολ", isOrdered: isOrdered, reliability: reliability)
        let bytes = ControlMessage.open(options).bytes
        #expect(bytes[1] == type)
        #expect(try ControlMessage(parsing: bytes) == .open(options))
    }

    @Test func malformed() {
        #expect(throws: ControlMessage.Malformed.empty) { try ControlMessage(parsing: []) }
        #expect(throws: ControlMessage.Malformed.unknownType(1)) { try ControlMessage(parsing: [1]) }
        #expect(throws: ControlMessage.Malformed.truncated) {
            try ControlMessage(parsing: [3, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0] + Array("mai".utf8))
        }
        #expect(throws: ControlMessage.Malformed.unknownChannelType(3)) {
            try ControlMessage(parsing: [3, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        }
        #expect(throws: ControlMessage.Malformed.invalidText) {
            try ControlMessage(parsing: [3, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0xff])
        }
    }
}
