import Glibc
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
        /// What every message of this peer begins with.
        let beginning: [UInt8]
        /// How many more announces it makes as fast as it goes.
        var announcesLeft = 0

        init(socket: WebSocketConnection, infoHash: String, peerID: String) {
            self.socket = socket
            beginning = Array(
                #"{"action":"announce","info_hash":"\#(infoHash)","peer_id":"\#(peerID)","#.utf8)
        }
    }

    /// How many are dialled at a time.
    private static let dialsAtOnce = 200
    /// What stands before the moment of sending in an offer's text, and how many digits follow.
    private static let mark = Array("T=".utf8)
    private static let digits = 19

    private let eventLoop: any EventLoop
    private let flushes: WebSocketFlushes
    private var peers: [Peer] = []
    private var latencies: [Double] = []
    private var replies = 0
    private var onReply: ((Peer) -> Void)?
    private var offerNumber = 0

    private init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        flushes = WebSocketFlushes(eventLoop: eventLoop)
    }

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
            let socket = WebSocketConnection(eventLoop: eventLoop, configuration: settings, flushes: flushes)
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
        for peer in peers { peer.announcesLeft = times - 1 }
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
            guard peer.announcesLeft > 0 else { return }
            peer.announcesLeft -= 1
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
        var text = peer.beginning
        text.reserveCapacity(text.count + 128 + offers * (Self.filler.count + 128))
        text += Self.counters
        let stamp = Self.decimal(Int(NIODeadline.now().uptimeNanoseconds), digits: Self.digits)
        for index in 0..<offers {
            offerNumber += 1
            if index > 0 { text.append(UInt8(ascii: ",")) }
            text += Self.offerBeginning
            text += Self.decimal(offerNumber, digits: 20)
            text += Self.offerMiddle
            text += stamp
            text += Self.filler
            text += Self.end
        }
        text += Self.endOfOffers
        peer.socket.send(text: text)
    }

    private static let counters = Array(#""numwant":5,"uploaded":0,"downloaded":0,"left":1,"offers":["#.utf8)
    private static let offerBeginning = Array(#"{"offer_id":""#.utf8)
    private static let offerMiddle = Array(#"","offer":{"type":"offer","sdp":"T="#.utf8)
    private static let answerBeginning = Array(#""to_peer_id":""#.utf8)
    private static let answerMiddle = Array(#"","offer_id":""#.utf8)
    private static let answerSDP = Array(#"","answer":{"type":"answer","sdp":""#.utf8)
    private static let end = Array(#""}}"#.utf8)
    private static let endOfOffers = Array("]}".utf8)

    /// As long as a session description with a few candidates.
    private static let filler = Array(
        String(repeating: " a=candidate 1 1 UDP 2130706431 192.0.2.1 9 typ host", count: 8).utf8)

    private static func decimal(_ number: Int, digits: Int) -> [UInt8] {
        var rest = number
        var text = [UInt8](repeating: 0x30, count: digits)
        for place in (0..<digits).reversed() where rest > 0 {
            text[place] += UInt8(rest % 10)
            rest /= 10
        }
        return text
    }

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
        var text = peer.beginning
        text.reserveCapacity(text.count + 128 + Self.filler.count)
        text += Self.answerBeginning
        text += offer[from]
        text += Self.answerMiddle
        text += offer[id]
        text += Self.answerSDP
        text += Self.filler
        text += Self.end
        peer.socket.send(text: text)
    }

    private static let replyMark = Array("\"interval\"".utf8)
    private static let peerMark = Array("\"peer_id\":\"".utf8)
    private static let offerMark = Array("\"offer_id\":\"".utf8)

    /// Where the 20 characters behind a mark are; the load's own names are nothing but letters, digits and a dash.
    private static func value(of mark: [UInt8], in bytes: [UInt8]) -> Range<Int>? {
        guard let at = position(of: mark, in: bytes), bytes.count >= at + 20 else { return nil }
        return at..<at + 20
    }

    /// Where what follows `needle` begins.
    private static func position(of needle: [UInt8], in bytes: [UInt8]) -> Int? {
        unsafe bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress, bytes.count >= needle.count else { return nil }
            let last = bytes.count - needle.count
            var place = 0
            // Both the search and the comparison stay within the bytes.
            while place <= last, let found = unsafe memchr(base + place, CInt(needle[0]), last - place + 1) {
                place = unsafe UnsafeRawPointer(found) - base
                if unsafe memcmp(base + place, needle, needle.count) == 0 { return place + needle.count }
                place += 1
            }
            return nil
        }
    }
}
