import Magnet
import SwarmBase
import Tracker

/// What a tracker's client may tell, whatever the tracker sent.
private func expectBounded(_ event: AnnounceEvent) throws {
    switch event {
    case .announced(let reply):
        try expect(reply.peers.count <= AnnounceReply.mostPeers, "no more peers than are wanted")
        try expect(reply.interval >= .zero, "intervals are not negative")
        try expect(reply.seeders >= 0 && reply.leechers >= 0, "counts are not negative")
        try expect((reply.trackerID?.count ?? 0) <= 256, "what is to be said again is short")
        try expect((reply.warning?.unicodeScalars.count ?? 0) <= 200, "warnings are short")
    case .failed(let reason):
        try expect(reason.unicodeScalars.count <= 200, "reasons are short")
    }
}

private let infoHash = InfoHash(bytes: [UInt8](repeating: UInt8(ascii: "h"), count: 20))

/// A client of a UDP tracker, over IPv4 or IPv6; a script of what the tracker and strangers send, and of time.
func fuzzUDPTracker(_ bytes: [UInt8]) throws {
    var script = FuzzInput(bytes)
    var now = Instant.zero
    let tracker = TransportAddress(script.byte() & 1 == 0 ? .v4(0x0a00_0001) : .v6(0x2001 << 48, 1), port: 6969)
    guard let infoHash else { return }
    var client = UDPTrackerClient(address: tracker, infoHash: infoHash, port: 7000, entropy: .seed(4), now: now)
    client.handleTimeout(now: now)
    var transaction: ArraySlice<UInt8> = []
    for _ in 0..<64 {
        var count = 0
        while let transmit = client.pollTransmit() {
            count += 1
            try expect(transmit.destination == tracker, "it speaks with its tracker only")
            try expect([16, 98].contains(transmit.payload.count), "a request to connect, or an announce")
            transaction = transmit.payload[12..<16]
        }
        while let event = client.pollEvent() {
            count += 1
            try expectBounded(event)
        }
        try expect(count <= 2, "one input causes few outputs")
        guard !script.isAtEnd else { break }
        switch script.choice(8) {
        case 0...3:
            // An answer to what was asked last: its action in one byte, then whatever it says.
            let action: [UInt8] = [0, 0, 0, UInt8(script.choice(5))]
            _ = client.handle(action + transaction + script.piece(), from: tracker, now: now)
        case 4:
            _ = client.handle(script.piece(), from: tracker, now: now)
        case 5:
            let stranger = TransportAddress(.v4(0x0a00_0002), port: 6969)
            try expect(!client.handle(script.piece(), from: stranger, now: now), "nobody else answers for a tracker")
        case 6:
            now += script.duration()
            client.handleTimeout(now: now)
            if let next = client.nextTimeout { try expect(next > now, "what was due is done") }
        default:
            switch script.choice(4) {
            case 0: client.port = script.word()
            case 1: client.stop(now: now)
            default: client.hurry(now: now)
            }
        }
    }
}

/// A client of an HTTP tracker; a script of bodies, of fetches that fail, and of time.
func fuzzHTTPTracker(_ bytes: [UInt8]) throws {
    var script = FuzzInput(bytes)
    var now = Instant.zero
    guard let infoHash else { return }
    var client = HTTPTrackerClient(
        url: "http://t.example/announce", infoHash: infoHash, port: 7000, entropy: .seed(5), now: now)
    client.handleTimeout(now: now)
    for _ in 0..<64 {
        var count = 0
        while let url = client.pollFetch() {
            count += 1
            try expect(url.hasPrefix("http://t.example/announce?info_hash="), "it asks its tracker only")
            try expect(url.utf8.allSatisfy { 0x20 < $0 && $0 < 0x7f }, "nothing but what may stand in a URL")
            try expect(url.utf8.count < 1_500, "requests are short, whatever they are to say again")
        }
        while let event = client.pollEvent() {
            count += 1
            try expectBounded(event)
        }
        try expect(count <= 2, "one input causes few outputs")
        guard !script.isAtEnd else { break }
        switch script.choice(8) {
        case 0...3:
            // Mostly a fetch is under way.
            now = max(now, client.nextTimeout ?? now)
            client.handleTimeout(now: now)
            while client.pollFetch() != nil {}
            while client.pollEvent() != nil {}
            client.handle(body: script.piece(), now: now)
        case 4: client.handle(body: script.piece(), now: now)
        case 5: client.failed("refused", now: now)
        case 6:
            now += script.duration()
            client.handleTimeout(now: now)
            if let next = client.nextTimeout { try expect(next > now, "what was due is done") }
        default:
            switch script.choice(4) {
            case 0: client.port = script.word()
            case 1: client.stop()
            default: client.hurry(now: now)
            }
        }
    }
}
