import DTLS
import Gun
import SEA
import SwarmBase
import SwarmEngine

/// Two whole members in memory and on virtual time, who talk directly or through a relay between them.
final class MemberPair {
    /// By which path messages go.
    enum Way: String, CaseIterable {
        /// In sealed envelopes.
        case relay
        /// By WebRTC.
        case direct
    }

    private final class End {
        var engine: SwarmEngine
        let address: TransportAddress
        /// The one to the relay.
        var link: SwarmLink?
        var path: PathKind?
        var received = 0

        init(_ engine: consuming SwarmEngine, address: TransportAddress) {
            self.engine = engine
            self.address = address
        }
    }

    private let way: Way
    private let ends: [End]
    private let names: [PeerID]
    private var relay: GunRelay
    private var now = Instant.zero + .seconds(1)
    private static let wallAtZero = 1_795_000_000_000.0
    /// What the relay took of the processor.
    private var relayNanoseconds = 0
    private var packets = 0

    private init(way: Way) throws {
        self.way = way
        var entropy = Entropy.seed(1)
        var limits = GunRelayConfiguration()
        limits.hasStorage = false
        // Virtual time goes faster than any relay has to be.
        (limits.messagesPerSecond, limits.messageBurst) = (1e12, 1e12)
        (limits.bytesPerSecond, limits.byteBurst) = (1e15, 1e15)
        relay = GunRelay(configuration: limits, entropy: entropy.fork())
        var configuration = SwarmEngineConfiguration()
        configuration.relays = ["ws://relay/gun"]
        if way == .relay { configuration.paths = [.relay] }
        var (ends, names): ([End], [PeerID]) = ([], [])
        for index in 0..<2 {
            let identity = Identity(SEAPair.generate(using: &entropy))
            let engine = SwarmEngine(
                configuration: configuration, topic: Topic(name: "bench"), identity: identity,
                certificate: try DTLSCertificate(), entropy: entropy.fork(), now: now, wall: Self.wallAtZero + 1000)
            let address = TransportAddress(.v4(0x0a00_0001 + UInt32(index)), port: 7000)
            ends.append(End(engine, address: address))
            names.append(identity.peerID)
        }
        self.ends = ends
        self.names = names
    }

    private var wall: Double { Self.wallAtZero + (now - .zero).milliseconds }

    /// Two members whose messages go that way.
    static func make(_ way: Way) throws -> MemberPair {
        let pair = try MemberPair(way: way)
        for end in pair.ends { end.engine.setHostAddresses([end.address], now: pair.now) }
        let wanted = way == .relay ? PathKind.relay : .direct
        while pair.ends.contains(where: { $0.path != wanted }) {
            pair.now += .milliseconds(5)
            pair.exchange()
        }
        return pair
    }

    /// Sends so many messages of one size, and waits until all have come and are acknowledged.
    ///
    /// - Returns: what it cost, without the relay's part.
    func transfer(messages: Int, size: Int) throws -> LayerCost {
        let message = MessageContent.binary([UInt8](repeating: 0x5a, count: size))
        let before = ends[1].received
        (packets, relayNanoseconds) = (0, 0)
        let start = ThreadTime.now
        var sent = 0
        while ends[1].received - before < messages || ends[0].engine.isOwed {
            while sent < messages, ends[0].engine.backlog(of: names[1]) < 1 << 19 {
                _ = try ends[0].engine.send(message, to: names[1], now: now)
                sent += 1
            }
            now += .microseconds(50)
            exchange()
        }
        return LayerCost(
            name: way.rawValue, packets: packets, bytes: messages * size,
            nanoseconds: ThreadTime.now - start - relayNanoseconds)
    }

    /// One batch each way, as sockets would bring it.
    private func exchange() {
        for (index, end) in ends.enumerated() {
            if let due = end.engine.nextTimeout, due <= now { end.engine.handleTimeout(now: now) }
            let other = ends[1 - index]
            while let transmit = end.engine.pollTransmit() {
                packets += 1
                if transmit.destination == other.address {
                    other.engine.handle(datagram: transmit.payload, from: end.address, now: now)
                }
            }
            carryLinks(of: index)
            takeEvents(of: end)
        }
        serve()
    }

    private func carryLinks(of index: Int) {
        let (end, id) = (ends[index], LinkID(UInt64(index)))
        while let action = end.engine.pollLink() {
            let start = ThreadTime.now
            switch action {
            case .dial(let link, _):
                relay.linkOpened(id, now: now)
                end.link = link
                end.engine.linkOpened(link, now: now)
            case .send(_, let frame):
                packets += 1
                relay.receive(frame: frame, on: id, now: now, wall: wall)
                relayNanoseconds += ThreadTime.now - start
            case .probe, .close: break
            }
        }
    }

    private func takeEvents(of end: End) {
        while let event = end.engine.pollEvent() {
            switch event {
            case .message: end.received += 1
            case .peer(_, _, let path), .path(_, let path, _): end.path = path
            default: break
            }
        }
        while let batch = end.engine.pollStorage() { end.engine.stored(through: batch.id, now: now) }
    }

    private func serve() {
        let start = ThreadTime.now
        if let due = relay.nextTimeout, due <= now { relay.handleTimeout(now: now, wall: wall) }
        while let event = relay.pollEvent() {
            if case .load(let id, _) = event { relay.loaded(id, .nothing, now: now, wall: wall) }
            if case .store(let id, _) = event { relay.stored(id, now: now) }
        }
        var frames: [(index: Int, frame: [UInt8])] = []
        while let (link, frame) = relay.pollTransmit() { frames.append((Int(link.number), frame)) }
        relayNanoseconds += ThreadTime.now - start
        for (index, frame) in frames {
            if let link = ends[index].link { ends[index].engine.receive(frame: frame, on: link, now: now) }
        }
    }
}
