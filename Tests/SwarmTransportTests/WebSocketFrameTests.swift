import NIOCore
import NIOEmbedded
import SwarmBase
import Testing

@testable import SwarmTransport

/// Frames as they stand on the wire (RFC 6455 §5).
@Suite struct WebSocketFrameTests {
    private func header(_ bytes: [UInt8], most: Int = 1 << 20) throws(WebSocketViolation) -> WebSocketFrameHeader? {
        try WebSocketFrameHeader(peeking: ByteBuffer(bytes: bytes), maximumPayload: most)
    }

    /// RFC 6455 §5.7.
    @Test func theExamplesOfTheRFC() throws {
        let plain: [UInt8] = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]
        let masked: [UInt8] = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]
        for bytes in [plain, masked] {
            var buffer = ByteBuffer(bytes: bytes)
            let found = try WebSocketFrameHeader(peeking: buffer, maximumPayload: 5)
            let header = try #require(found)
            #expect(header.opcode == .text && header.isFinal && header.payloadCount == 5)
            buffer.moveReaderIndex(forwardBy: header.byteCount)
            let (payload, isASCII) = buffer.readPayload(5, mask: header.mask)
            #expect(payload == Array("Hello".utf8) && isASCII && buffer.readableBytes == 0)
        }
        var written = ByteBuffer()
        written.writeFrame(.text, Array("Hello".utf8), mask: nil)
        #expect(Array(written.readableBytesView) == plain)
        written.clear()
        written.writeFrame(.text, Array("Hello".utf8), mask: try header(masked)?.mask)
        #expect(Array(written.readableBytesView) == masked)
        let large = try header([0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0])
        #expect(large?.payloadCount == 65536 && large?.byteCount == 10)
    }

    @Test func everyLengthComesBackFromEveryPlace() throws {
        var random = SeededGenerator(seed: 3)
        for count in Array(0...40) + [124, 125, 126, 127, 65535, 65536] {
            let payload = random.bytes(count)
            let mask = UInt32.random(in: 0...UInt32.max, using: &random)
            var buffer = ByteBuffer(bytes: random.bytes(count % 9))
            let before = buffer.readableBytes
            buffer.writeFrame(.binary, payload, mask: mask)
            buffer.moveReaderIndex(forwardBy: before)
            let found = try WebSocketFrameHeader(peeking: buffer, maximumPayload: count)
            let header = try #require(found)
            #expect(header.byteCount + count == buffer.readableBytes)
            buffer.moveReaderIndex(forwardBy: header.byteCount)
            // Nobody has hidden it from those who know nothing of the mask.
            #expect(count < 8 || Array(buffer.readableBytesView) != payload)
            let (read, isASCII) = buffer.readPayload(count, mask: header.mask)
            #expect(read == payload, "\(count)")
            #expect(isASCII == payload.allSatisfy { $0 < 0x80 }, "\(count)")
        }
    }

    @Test func oneByteAboveASCIIIsSeenAnywhere() {
        for count in 1...20 {
            for place in 0..<count {
                var bytes = [UInt8](repeating: 0x7f, count: count)
                bytes[place] = 0x80
                var buffer = ByteBuffer(bytes: bytes)
                let (_, isASCII) = buffer.readPayload(count, mask: nil)
                #expect(!isASCII)
            }
        }
    }

    @Test func halfAHeaderIsWaitedFor() throws {
        let whole: [UInt8] = [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4]
        for count in 0..<whole.count { #expect(try header(Array(whole.prefix(count))) == nil, "\(count)") }
        #expect(try header(whole)?.byteCount == 14)
    }

    @Test func whatIsTooLongIsRefusedBeforeItComes() throws {
        #expect(try header([0x82, 126, 3, 0xe8], most: 1000)?.payloadCount == 1000)
        #expect(throws: WebSocketViolation.tooLarge) { try header([0x82, 126, 3, 0xe9], most: 1000) }
        #expect(throws: WebSocketViolation.tooLarge) { try header([0x82, 127] + [UInt8](repeating: 0xff, count: 8)) }
        #expect(throws: WebSocketViolation.protocolError) { try header([0x89, 126, 0, 126]) }
        #expect(throws: WebSocketViolation.protocolError) { try header([0x09, 0]) }
        #expect(throws: WebSocketViolation.protocolError) { try header([0x83, 0]) }
        #expect(throws: WebSocketViolation.protocolError) { try header([0xc1, 0]) }
    }

    /// However what comes is cut into reads, the messages are the same; and what is sent in one turn of the loop leaves at once.
    @Test func readsMayEndAnywhere() throws {
        for seed in UInt64(1)...50 {
            var random = SeededGenerator(seed: seed)
            let channel = EmbeddedChannel()
            let connection = WebSocketConnection(
                eventLoop: channel.embeddedEventLoop, configuration: .server, isClient: false, flushes: nil)
            try connection.upgrading(channel)
            connection.upgraded()
            var received: [[UInt8]] = []
            connection.onMessage = { [unowned connection] message in
                received.append(message.bytes)
                connection.send(binary: message.bytes)
            }
            var sent: [[UInt8]] = []
            var stream = ByteBuffer()
            for _ in 0..<20 {
                let message = random.bytes([0, 1, 7, 125, 126, 300, 70_000].randomElement(using: &random) ?? 0)
                sent.append(message)
                stream.writeFrame(.binary, message, mask: UInt32.random(in: 0...UInt32.max, using: &random))
                if Bool.random(using: &random) { stream.writeFrame(.pong, [1], mask: 5) }
            }
            var expected = ByteBuffer()
            for message in sent { expected.writeFrame(.binary, message, mask: nil) }
            let most = [3, 64, 2048, 1 << 20].randomElement(using: &random) ?? 1
            var turns = 0
            while let piece = stream.readSlice(
                length: min(stream.readableBytes, Int.random(in: 1...most, using: &random))), piece.readableBytes > 0
            {
                try channel.writeInbound(piece)
                if Int.random(in: 0..<50, using: &random) == 0 {
                    channel.embeddedEventLoop.run()
                    turns += 1
                }
            }
            #expect(received == sent, "seed \(seed)")
            channel.embeddedEventLoop.run()
            var written = ByteBuffer()
            var writes = 0
            while var part = try channel.readOutbound(as: ByteBuffer.self) {
                written.writeBuffer(&part)
                writes += 1
            }
            #expect(written == expected, "seed \(seed)")
            #expect(writes <= turns + 1 + expected.readableBytes / (1 << 16), "seed \(seed): \(writes) writes")
            #expect(connection.bufferedBytes == 0)
            connection.close()
            _ = try? channel.finish(acceptAlreadyClosed: true)
        }
    }
}
