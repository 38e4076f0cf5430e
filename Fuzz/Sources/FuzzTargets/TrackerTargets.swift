import Magnet
import SwarmBase
import Tracker

/// A server with four sockets of two addresses; a script of frames, each up to a zero byte.
func fuzzTrackerServer(_ bytes: [UInt8]) throws {
    var script = FuzzInput(bytes)
    var server = TrackerServer(entropy: .seed(2))
    var now = Instant.zero
    var isOpen: Set<UInt64> = []
    for _ in 0..<64 where !script.isAtEnd {
        let number = UInt64(script.choice(4))
        let link = TrackerLinkID(number)
        if isOpen.insert(number).inserted {
            let isAccepted = server.linkOpened(link, from: .v4(0x0a00_0000 | UInt32(number & 1)), now: now)
            try expect(isAccepted, "there is room for four")
        }
        switch script.choice(8) {
        case 0...5: server.receive(script.text(), on: link, now: now)
        case 6:
            now += script.duration()
            server.handleTimeout(now: now)
        default:
            server.linkClosed(link, now: now)
            isOpen.remove(number)
        }
        var count = 0
        while server.pollTransmit() != nil { count += 1 }
        while let event = server.pollEvent() {
            count += 1
            if case .close(let link, _) = event { isOpen.remove(link.rawValue) }
        }
        try expect(count < 1_000, "one input causes few outputs")
        try expect(server.linkCount == isOpen.count, "the sockets that are open")
        try expect(server.peerCount <= 64 * 8, "peers come from announces")
    }
}

/// A client in a swarm; a script of frames, each up to a zero byte, and of what its application does.
func fuzzTrackerClient(_ bytes: [UInt8]) throws {
    var script = FuzzInput(bytes)
    var client = TrackerClient(entropy: .seed(3))
    var now = Instant.zero
    guard let hash = InfoHash(bytes: [UInt8](repeating: UInt8(ascii: "h"), count: 20)),
        let offer = TrackerOfferID(bytes: [UInt8](repeating: UInt8(ascii: "o"), count: 20))
    else { return }
    var socket: TrackerSocket?
    var offers: [TrackerSignal] = []
    client.join(hash, now: now)
    for _ in 0..<64 where !script.isAtEnd {
        switch script.choice(8) {
        case 0...3: if let socket { client.receive(script.text(), on: socket, now: now) }
        case 4: client.supply([TrackerOffer(id: offer, sdp: "v=0")], for: hash, now: now)
        case 5:
            now += script.duration()
            client.handleTimeout(now: now)
        case 6:
            if let signal = offers.popLast() {
                client.answer("v=0", to: signal.peerID, offerID: signal.offerID, in: signal.infoHash, now: now)
            }
        default:
            switch script.choice(4) {
            case 0: if let socket { client.socketClosed(socket, now: now) }
            case 1: client.networkChanged(now: now)
            case 2: client.leave(hash, now: now)
            default: client.join(hash, now: now)
            }
        }
        var count = 0
        while client.pollTransmit() != nil { count += 1 }
        while let event = client.pollEvent() {
            count += 1
            switch event {
            case .connect(let new):
                socket = new
                client.socketOpened(new, now: now)
            case .disconnect: socket = nil
            case .offer(let signal): offers.append(signal)
            default: break
            }
        }
        try expect(count < 1_000, "one input causes few outputs")
    }
}
