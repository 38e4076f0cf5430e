import Gun
import JSON
package import SwarmBase

extension GunValue {
    /// What its text is the base64url of.
    var base64URLBytes: [UInt8]? { text.flatMap { [UInt8](base64URL: $0.utf8) } }
}

/// The GUN mesh as the engine uses it: one client over links to every configured relay, dialled again when they close.
package struct GunPlane {
    var client: GunClient
    /// The clock of the application's writes.
    var clock = StateClock()
    var memberCount: UInt64 = 0
    private let urls: [String]
    private var redials: [Redial]
    private var health: [PlaneHealth]
    private var open: Set<Int> = []
    var actions = FIFO<LinkAction>()
    private var entropy: Entropy
    /// Mail that no relay has acknowledged yet, and what one has: whom it is for.
    var left: [PutID: PeerID] = [:]
    var stored = FIFO<(put: PutID, peer: PeerID)>()

    /// - Parameter isKept: whether the shared graph outlives the run: see ``pollStorage()``.
    package init(relays: [String], isKept: Bool = false, entropy: Entropy, now: Instant) {
        self.entropy = entropy
        var settings = GunClientConfiguration()
        settings.isKept = isKept
        settings.rule = .userSpace()
        client = GunClient(configuration: settings, entropy: self.entropy.fork())
        urls = relays
        redials = relays.map { _ in Redial(now: now) }
        health = relays.map { _ in PlaneHealth() }
    }

    /// Whether any relay is connected.
    var isConnected: Bool { !open.isEmpty }

    var status: [PlaneStatus] { zip(urls, health).map { $1.status(.relay, $0) } }

    /// The links that are open.
    var openLinks: [SwarmLink] { open.sorted().map { SwarmLink(index: $0) } }

    func owns(_ link: SwarmLink) -> Bool { link.index < urls.count }

    // MARK: Links

    package mutating func opened(_ link: SwarmLink, now: Instant) {
        redials[link.index].opened(now: now)
        open.insert(link.index)
        health[link.index].worked(now: now)
        client.linkOpened(LinkID(UInt64(link.index)), now: now)
    }

    package mutating func closed(_ link: SwarmLink, now: Instant) {
        redials[link.index].closed(now: now, entropy: &entropy)
        health[link.index].failed(nil)
        guard open.remove(link.index) != nil else { return }
        client.linkClosed(LinkID(UInt64(link.index)), now: now)
    }

    package mutating func receive(_ frame: [UInt8], on link: SwarmLink, now: Instant, wall: Double) {
        client.receive(frame: frame, on: LinkID(UInt64(link.index)), now: now, wall: wall)
    }

    /// The network changed: relays that are waited for are dialled at once.
    mutating func hurry(now: Instant) {
        for index in redials.indices { redials[index].hurry(now: now) }
    }

    package mutating func handleTimeout(now: Instant, wall: Double) {
        for index in urls.indices {
            guard let at = redials[index].dialAt, now >= at else { continue }
            redials[index].dialing()
            health[index].began(now: now)
            actions.append(.dial(SwarmLink(index: index), url: urls[index]))
        }
        if let at = client.nextTimeout, now >= at { client.handleTimeout(now: now, wall: wall) }
    }

    package var nextTimeout: Instant? {
        redials.reduce(client.nextTimeout) { .earlier($0, $1.dialAt) }
    }

    package mutating func pollLink() -> LinkAction? {
        if let action = actions.popFirst() { return action }
        // Frames for members have left before: whatever makes some sends them.
        while pollMemberFrame() != nil {}
        return actions.popFirst()
    }

    // MARK: The graph

    mutating func subscribe(_ soul: String, now: Instant) {
        guard let soul = Soul(soul) else { return }
        client.subscribe(soul, now: now)
    }

    mutating func unsubscribe(_ soul: String, now: Instant) {
        guard let soul = Soul(soul) else { return }
        client.unsubscribe(soul, now: now)
    }

    /// Asks the relays again for a soul we follow: some lose track of a subscription while its writer was away.
    mutating func refresh(_ soul: String, now: Instant) {
        guard let soul = Soul(soul) else { return }
        client.refresh(soul, now: now)
    }

    /// Writes a text that is to be kept, and repeated until a relay has it.
    mutating func publish(_ text: String, key: String, of soul: String, state: Double, now: Instant) {
        put([(key, .string(text))], of: soul, state: state, isDurable: true, now: now)
    }

    /// Writes a text that the layers above repeat when it is lost.
    mutating func put(_ text: String, key: String, of soul: String, state: Double, now: Instant) {
        put([(key, .string(text))], of: soul, state: state, isDurable: false, now: now)
    }

    /// Sets keys to `null`.
    mutating func clear(_ keys: [String], of soul: String, state: Double, now: Instant) {
        put(keys.map { ($0, .null) }, of: soul, state: state, isDurable: false, now: now)
    }

    private mutating func put(
        _ values: [(String, GunValue)], of soul: String, state: Double, isDurable: Bool, now: Instant
    ) {
        guard let soul = Soul(soul) else { return }
        let values = values.compactMap { key, value in Key(key).map { ($0, value) } }
        client.put(soul, values, state: state, durable: isDurable, now: now)
    }

    /// The next value that somebody else wrote.
    mutating func pollChange() -> GunRecord? {
        while let event = client.pollEvent() {
            switch event {
            case .changed(let soul, let key, let value, let state):
                return GunRecord(soul: soul, key: key, value: value, state: state)
            case .acknowledged(let put, _):
                if let peer = left.removeValue(forKey: put) { stored.append((put, peer)) }
            case .superseded(let put), .dropped(let put):
                left[put] = nil
            case .refused, .missing: break
            }
        }
        return nil
    }
}
