import CChecksum
import SCTP
import SwarmBase

/// An SCTP packet of these chunks, as the peer would send it.
private func packet(_ chunks: [UInt8], tag: UInt32) -> [UInt8] {
    var writer = ByteWriter(capacity: 12 + chunks.count)
    writer.integer(UInt16(5000))
    writer.integer(UInt16(5000))
    writer.integer(tag)
    writer.integer(UInt32(0))
    writer.append(chunks)
    return checksummed(writer.bytes)
}

private func checksummed(_ packet: [UInt8]) -> [UInt8] {
    guard packet.count >= 12 else { return packet }
    var packet = packet
    for index in 8..<12 { packet[index] = 0 }
    let checksum = unsafe packet.withUnsafeBufferPointer { bytes in
        unsafe bytes.baseAddress.map { unsafe swarm_crc32c(0, $0, bytes.count) } ?? 0
    }
    for index in 0..<4 { packet[8 + index] = UInt8(truncatingIfNeeded: checksum >> (8 * index)) }
    return packet
}

private func tag(of packet: [UInt8]) -> UInt32? {
    guard packet.count >= 12 else { return nil }
    let tag = packet[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    return tag == 0 ? nil : tag
}

/// Two ends of data channels. The script says what becomes of their packets, and which chunks come that neither has sent.
func fuzzAssociation(_ bytes: [UInt8]) throws {
    var script = FuzzInput(bytes)
    var configuration = SCTPConfiguration()
    let options = script.byte()
    configuration.offersInterleaving = options & 1 == 0
    configuration.isOverDTLS = options & 2 == 0
    configuration.maxMessageSize = 20_000
    configuration.receiveWindow = 40_000
    configuration.maxReceiveWindow = 80_000
    configuration.maxBufferedBytes = 60_000
    configuration.maxHeldItems = 64
    if options & 4 == 0 { configuration.maxProbedPacketSize = 1400 }
    var now = Instant(nanoseconds: 1_000_000_000)
    var a = DataChannelTransport(
        configuration: configuration, isDTLSClient: true, remoteMaxMessageSize: 20_000, entropy: .seed(11))
    var b = DataChannelTransport(
        configuration: configuration, isDTLSClient: false, remoteMaxMessageSize: 20_000, entropy: .seed(12))
    var toA: [[UInt8]] = []
    var toB: [[UInt8]] = []
    var tagOfA: UInt32 = 0
    var tagOfB: UInt32 = 0
    var channels: [DataChannelID] = []
    a.connect(now: now)
    b.connect(now: now)
    if let id = try? a.open(DataChannelOptions(label: "first")) { channels.append(id) }
    for _ in 0..<96 {
        var count = 0
        while let packet = a.pollTransmit(now: now) {
            tagOfB = tag(of: packet) ?? tagOfB
            if toB.count < 64 { toB.append(packet) }
            count += 1
        }
        while let packet = b.pollTransmit(now: now) {
            tagOfA = tag(of: packet) ?? tagOfA
            if toA.count < 64 { toA.append(packet) }
            count += 1
        }
        while let event = a.pollEvent() {
            count += 1
            if case .open(let id, _, _) = event, channels.count < 8 { channels.append(id) }
        }
        while b.pollEvent() != nil { count += 1 }
        try expect(count < 5_000, "one step causes few outputs")
        try expect(a.bufferedAmount <= 80_000 && b.bufferedAmount <= 80_000, "what waits stays in its bounds")
        guard !script.isAtEnd else { break }
        let isForA = script.byte() & 1 == 0
        switch script.choice(12) {
        case 0, 1:
            let chunks = script.piece()
            if isForA {
                a.handle(packet: packet(chunks, tag: tagOfA), now: now)
            } else {
                b.handle(packet: packet(chunks, tag: tagOfB), now: now)
            }
        case 2:
            // INIT has the tag 0; ABORT and SHUTDOWN COMPLETE may have the other's.
            let wrong = script.choice(2) == 0 ? 0 : isForA ? tagOfB : tagOfA
            if isForA {
                a.handle(packet: packet(script.piece(), tag: wrong), now: now)
            } else {
                b.handle(packet: packet(script.piece(), tag: wrong), now: now)
            }
        case 3, 4:
            // Everything arrives.
            for packet in toB { b.handle(packet: packet, now: now) }
            for packet in toA { a.handle(packet: packet, now: now) }
            toA = []
            toB = []
        case 5:
            // One packet arrives damaged, but with a right checksum: as a peer with other ideas would send it.
            guard isForA ? !toA.isEmpty : !toB.isEmpty else { break }
            var packet = isForA ? toA.removeFirst() : toB.removeFirst()
            for _ in 0..<1 + script.choice(4) {
                packet[12 + Int(script.word()) % max(1, packet.count - 12)] = script.byte()
            }
            if isForA {
                a.handle(packet: checksummed(packet), now: now)
            } else {
                b.handle(packet: checksummed(packet), now: now)
            }
        case 6:
            // One packet is lost, or late, or comes twice.
            guard isForA ? !toA.isEmpty : !toB.isEmpty else { break }
            let packet = isForA ? toA.removeFirst() : toB.removeFirst()
            for _ in 0..<script.choice(3) { if isForA { toA.append(packet) } else { toB.append(packet) } }
        case 7, 8:
            now += script.duration()
            a.handleTimeout(now: now)
            b.handleTimeout(now: now)
        case 9:
            guard !channels.isEmpty else { break }
            let id = channels[script.choice(channels.count)]
            let payload = [UInt8](repeating: 7, count: Int(script.word()) % 12_000)
            if isForA {
                try? a.send(payload, kind: .binary, on: id, now: now)
            } else {
                try? b.send(payload, kind: .text, on: id, now: now)
            }
        case 10:
            let reliability: DataChannelOptions.Reliability =
                [.reliable, .maxRetransmits(0), .maxPacketLifeTime(40)][script.choice(3)]
            let options = DataChannelOptions(label: "more", isOrdered: script.choice(2) == 0, reliability: reliability)
            if let id = try? (isForA ? a.open(options) : b.open(options)), channels.count < 8 { channels.append(id) }
        default:
            switch script.choice(8) {
            case 0: if isForA { a.shutdown(now: now) } else { b.shutdown(now: now) }
            case 1: if isForA { a.abort(now: now) } else { b.abort(now: now) }
            case 2: if isForA { a.pathChanged(now: now) } else { b.pathChanged(now: now) }
            default:
                guard !channels.isEmpty else { break }
                let id = channels[script.choice(channels.count)]
                if isForA { a.close(id, now: now) } else { b.close(id, now: now) }
            }
        }
    }
}

/// Data channels whose peer says what it likes: messages of any protocol on any stream, resets.
func fuzzDataChannels(_ bytes: [UInt8]) throws {
    var script = FuzzInput(bytes)
    var configuration = SCTPConfiguration()
    configuration.maxMessageSize = 20_000
    var now = Instant(nanoseconds: 1_000_000_000)
    let isClient = script.byte() & 1 == 0
    var channels = DataChannelTransport(
        configuration: configuration, isDTLSClient: isClient, remoteMaxMessageSize: 20_000, entropy: .seed(11))
    var peer = SCTPAssociation(configuration: configuration, entropy: .seed(12))
    channels.connect(now: now)
    peer.connect(now: now)
    var open: Set<DataChannelID> = []
    if let id = try? channels.open(DataChannelOptions(label: "ours")) { open.insert(id) }
    for _ in 0..<64 {
        // The path between them is perfect; a step ends when both have nothing more to say.
        var isQuiet = false
        var count = 0
        while !isQuiet {
            isQuiet = true
            while let packet = channels.pollTransmit(now: now) {
                isQuiet = false
                count += 1
                peer.handle(packet: packet, now: now)
            }
            while let packet = peer.pollTransmit(now: now) {
                isQuiet = false
                count += 1
                channels.handle(packet: packet, now: now)
            }
            while let event = channels.pollEvent() {
                switch event {
                case .open(let id, let options, _):
                    open.insert(id)
                    try expect(channels.options(of: id) == options, "an open channel has its options")
                case .closed(let id): open.remove(id)
                default: break
                }
            }
            while peer.pollEvent() != nil {}
            try expect(count < 5_000, "one step causes few packets")
        }
        guard !script.isAtEnd else { break }
        switch script.choice(8) {
        case 0...3:
            let identifiers: [UInt32] = [50, 51, 53, 56, 57, 52, 54, 0]
            let options = SCTPSendOptions(isUnordered: script.choice(4) == 0)
            let stream = UInt16(script.byte() & 7)
            try? peer.send(
                script.piece(), payloadProtocol: identifiers[script.choice(8)], on: stream, options: options, now: now)
        case 4:
            peer.resetStreams([UInt16(script.byte() & 7)])
        case 5:
            now += script.duration()
            channels.handleTimeout(now: now)
            peer.handleTimeout(now: now)
        case 6:
            let options = DataChannelOptions(
                label: "more", negotiatedID: script.choice(2) == 0 ? UInt16(script.byte() & 7) : nil)
            if let id = try? channels.open(options) { open.insert(id) }
        default:
            let id = UInt16(script.byte() & 7)
            if script.choice(2) == 0 {
                channels.close(id, now: now)
            } else {
                try? channels.send(script.piece(), kind: .text, on: id, now: now)
            }
        }
    }
}
