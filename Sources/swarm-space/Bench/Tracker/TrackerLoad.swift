import NIOCore
import SwarmBase
import SwarmTransport

/// Many WebTorrent clients in one process. They announce, and answer what they are offered; they read no more of a message
/// than that and the measurement need, so that the load costs little beside what is measured.
///
/// Confined to its event loop.
final class TrackerLoad {
    private final class Peer {
        let socket: WebSocketConnection
        let infoHash: String
        let peerID: String

        init(socket: WebSocketConnection, infoHash: String, peerID: String) {
            self.socket = socket
            self.infoHash = infoHash
            self.peerID = peerID
        }
    }

    /// How many are dialled at a time.
    private static let dialsAtOnce = 200
    /// What stands before the moment of sending in an offer's text, and how many digits follow.
    private static let mark = Array("T=".utf8)
    private static let digits = 19

    private let eventLoop: any EventLoop
    private var peers: [Peer] = []
    private var latencies: [Double] = []
    private var replies = 0
    private var onReply: ((Peer) -> Void)?
    private var offerNumber = 0

    private init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// Opens connections; those that the server refuses are missing.
    ///
    /// - Parameter perSwarm: how many peers know one infohash.
    static func open(
        _ count: Int, to url: WebSocketURL, perSwarm: Int, on eventLoop: any EventLoop
    ) async throws -> NIOLoopBound<TrackerLoad> {
        let load = try await eventLoop.submit {
            NIOLoopBound(TrackerLoad(eventLoop: eventLoop), eventLoop: eventLoop)
        }.get()
        var opened = 0
        while opened < count {
            let batch = min(dialsAtOnce, count - opened)
            let first = opened
            try await eventLoop.flatSubmit { load.value.dial(batch, from: first, url, perSwarm: perSwarm) }.get()
            opened += batch
        }
        return load
    }

    private func dial(_ count: Int, from first: Int, _ url: WebSocketURL, perSwarm: Int) -> EventLoopFuture<Void> {
        let promise = eventLoop.makePromise(of: Void.self)
        var waiting = count
        for number in first..<first + count {
            var settings = WebSocketConfiguration()
            // Idle ones are to be idle.
            settings.pingInterval = .seconds(3600) ... .seconds(3600)
            settings.openTimeout = .seconds(60)
            settings.connectTimeout = .seconds(60)
            let socket = WebSocketConnection(eventLoop: eventLoop, configuration: settings)
            let peer = Peer(
                socket: socket, infoHash: Self.name("swarm", number / perSwarm), peerID: Self.name("-SS0100-", number))
            func settled() {
                waiting -= 1
                if waiting == 0 { promise.succeed() }
            }
            socket.onOpen = { [unowned self] in
                self.peers.append(peer)
                socket.onClose = nil
                settled()
            }
            socket.onClose = { _ in settled() }
            socket.onMessage = { [unowned self, unowned peer] in self.received($0.bytes, peer) }
            socket.open(url)
        }
        return promise.futureResult
    }

    /// 20 characters.
    private static func name(_ prefix: String, _ number: Int) -> String {
        let digits = String(number)
        return prefix + String(repeating: "0", count: max(0, 20 - prefix.utf8.count - digits.utf8.count)) + digits
    }

    func close() {
        for peer in peers {
            peer.socket.onMessage = nil
            peer.socket.onClose = nil
            peer.socket.close()
        }
        peers = []
    }

    // MARK: Loads

    /// So many announces a second, by turns.
    ///
    /// - Returns: how long each offer took, in milliseconds, ascending.
    func pace(_ rate: Int, offers: Int, for time: TimeAmount) -> EventLoopFuture<[Double]> {
        guard !peers.isEmpty else { return eventLoop.makeSucceededFuture([]) }
        for peer in peers { announce(peer, offers: 0) }
        let promise = eventLoop.makePromise(of: [Double].self)
        let period = TimeAmount.nanoseconds(1_000_000_000 / Int64(rate))
        // The first announces are over by then.
        let start = NIODeadline.now() + .seconds(1)
        pace(period, offers: offers, next: start, until: start + time, number: 0, promise)
        return promise.futureResult
    }

    private func pace(
        _ period: TimeAmount, offers: Int, next: NIODeadline, until end: NIODeadline, number: Int,
        _ promise: EventLoopPromise<[Double]>
    ) {
        guard next < end else {
            eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(500)) { [unowned self] () -> Void in
                promise.succeed(self.latencies.sorted())
            }
            return
        }
        eventLoop.assumeIsolated().scheduleTask(deadline: next) { [unowned self] () -> Void in
            self.announce(self.peers[number % self.peers.count], offers: offers)
            self.pace(
                period, offers: offers, next: next + period, until: end, number: number + 1, promise)
        }
    }

    /// How many announces a peer makes as fast as it goes. With the answers to as many times five offers this stays within what
    /// trackers take of one socket at once.
    private static let announcesPerPeer = 35

    /// Every peer announces again as soon as it has its reply, until each has made its announces or the time is over.
    ///
    /// - Returns: how many replies came.
    func saturate(offers: Int, for time: TimeAmount) -> EventLoopFuture<Int> {
        announceEach(Self.announcesPerPeer, offers: offers, for: time)
    }

    private func announceEach(_ times: Int, offers: Int, for time: TimeAmount) -> EventLoopFuture<Int> {
        let promise = eventLoop.makePromise(of: Int.self)
        replies = 0
        let goal = peers.count * times
        var left = Dictionary(uniqueKeysWithValues: peers.map { (ObjectIdentifier($0), times - 1) })
        var isOver = false
        func end() {
            guard !isOver else { return }
            isOver = true
            onReply = nil
            promise.succeed(replies)
        }
        let limit = eventLoop.assumeIsolated().scheduleTask(in: time) { end() }
        onReply = { [unowned self] peer in
            if self.replies == goal {
                limit.cancel()
                return end()
            }
            guard let more = left[ObjectIdentifier(peer)], more > 0 else { return }
            left[ObjectIdentifier(peer)] = more - 1
            self.announce(peer, offers: offers)
        }
        for peer in peers { announce(peer, offers: offers) }
        return promise.futureResult
    }

    /// Every peer announces once.
    ///
    /// - Returns: how many had a reply within the time.
    func announceOnce(for time: TimeAmount) -> EventLoopFuture<Int> { announceEach(1, offers: 0, for: time) }

    // MARK: Messages

    private func announce(_ peer: Peer, offers: Int) {
        var text = "{\"action\":\"announce\",\"info_hash\":\"\(peer.infoHash)\",\"peer_id\":\"\(peer.peerID)\","
        text += "\"numwant\":\(offers),\"uploaded\":0,\"downloaded\":0,\"left\":1,\"offers\":["
        for index in 0..<offers {
            offerNumber += 1
            let stamp = String(NIODeadline.now().uptimeNanoseconds)
            let padded = String(repeating: "0", count: max(0, Self.digits - stamp.utf8.count)) + stamp
            text += index == 0 ? "" : ","
            text += "{\"offer_id\":\"\(Self.name("offer", offerNumber))\",\"offer\":{\"type\":\"offer\",\"sdp\":\""
            text += "T=\(padded) \(Self.filler)\"}}"
        }
        peer.socket.send(text: Array((text + "]}").utf8))
    }

    /// As long as a session description with a few candidates.
    private static let filler = String(repeating: "a=candidate 1 1 UDP 2130706431 192.0.2.1 9 typ host ", count: 8)

    private func received(_ bytes: [UInt8], _ peer: Peer) {
        guard let at = Self.position(of: Self.mark, in: bytes) else {
            // Answers that are brought back are no replies.
            guard Self.position(of: Self.replyMark, in: bytes) != nil else { return }
            replies += 1
            onReply?(peer)
            return
        }
        guard bytes.count >= at + Self.digits else { return }
        var stamp: UInt64 = 0
        for byte in bytes[at..<at + Self.digits] {
            guard (0x30...0x39).contains(byte) else { return }
            stamp = stamp * 10 + UInt64(byte - 0x30)
        }
        let now = NIODeadline.now().uptimeNanoseconds
        if onReply == nil, now >= stamp { latencies.append(Double(now - stamp) / 1e6) }
        answer(bytes, peer)
    }

    /// Answers an offer, as a client does: a tracker need not bring more to one that never answers.
    private func answer(_ offer: [UInt8], _ peer: Peer) {
        guard let from = Self.value(of: Self.peerMark, in: offer), let id = Self.value(of: Self.offerMark, in: offer)
        else { return }
        var text = "{\"action\":\"announce\",\"info_hash\":\"\(peer.infoHash)\",\"peer_id\":\"\(peer.peerID)\","
        text += "\"to_peer_id\":\"\(from)\",\"offer_id\":\"\(id)\","
        text += "\"answer\":{\"type\":\"answer\",\"sdp\":\"\(Self.filler)\"}}"
        peer.socket.send(text: Array(text.utf8))
    }

    private static let replyMark = Array("\"interval\"".utf8)
    private static let peerMark = Array("\"peer_id\":\"".utf8)
    private static let offerMark = Array("\"offer_id\":\"".utf8)

    /// The 20 characters behind a mark; the load's own names are nothing but letters, digits and a dash.
    private static func value(of mark: [UInt8], in bytes: [UInt8]) -> String? {
        guard let at = position(of: mark, in: bytes), bytes.count >= at + 20 else { return nil }
        return String(decoding: bytes[at..<at + 20], as: UTF8.self)
    }

    /// Where what follows `needle` begins.
    private static func position(of needle: [UInt8], in bytes: [UInt8]) -> Int? {
        guard bytes.count >= needle.count else { return nil }
        for start in 0...bytes.count - needle.count
        where bytes[start] == needle[0] && bytes[start..<start + needle.count].elementsEqual(needle) {
            return start + needle.count
        }
        return nil
    }
}
