import Gun
import JSON
import SwarmBase

/// The GUN mesh as the engine uses it: one client over links to every configured relay, dialled again when they close.
struct GunPlane {
    /// A value that somebody else wrote to a soul we follow.
    struct Change {
        var soul: String
        var key: String
        var value: JSONValue

        var text: String? { value.text?.string }
    }

    private var client: GunClient
    private let urls: [String]
    private var redials: [Redial]
    private var health: [PlaneHealth]
    private var open: Set<Int> = []
    private var actions = FIFO<LinkAction>()
    private var entropy: Entropy

    init(relays: [String], entropy: Entropy, now: Instant) {
        self.entropy = entropy
        client = GunClient(entropy: self.entropy.fork())
        urls = relays
        redials = relays.map { _ in Redial(now: now) }
        health = relays.map { _ in PlaneHealth() }
    }

    /// Whether any relay is connected.
    var isConnected: Bool { !open.isEmpty }

    var status: [PlaneStatus] { zip(urls, health).map { $1.status(.relay, $0) } }

    func owns(_ link: SwarmLink) -> Bool { link.index < urls.count }

    // MARK: Links

    mutating func opened(_ link: SwarmLink, now: Instant) {
        redials[link.index].opened(now: now)
        open.insert(link.index)
        health[link.index].worked(now: now)
        client.linkOpened(LinkID(UInt64(link.index)), now: now)
    }

    mutating func closed(_ link: SwarmLink, now: Instant) {
        redials[link.index].closed(now: now, entropy: &entropy)
        health[link.index].failed(nil)
        guard open.remove(link.index) != nil else { return }
        client.linkClosed(LinkID(UInt64(link.index)), now: now)
    }

    mutating func receive(_ frame: [UInt8], on link: SwarmLink, now: Instant, wall: Double) {
        client.receive(frame: frame, on: LinkID(UInt64(link.index)), now: now, wall: wall)
    }

    /// The network changed: relays that are waited for are dialled at once.
    mutating func hurry(now: Instant) {
        for index in redials.indices { redials[index].hurry(now: now) }
    }

    mutating func handleTimeout(now: Instant, wall: Double) {
        for index in urls.indices {
            guard let at = redials[index].dialAt, now >= at else { continue }
            redials[index].dialing()
            health[index].began(now: now)
            actions.append(.dial(SwarmLink(index: index), url: urls[index]))
        }
        if let at = client.nextTimeout, now >= at { client.handleTimeout(now: now, wall: wall) }
    }

    var nextTimeout: Instant? {
        redials.reduce(client.nextTimeout) { .earlier($0, $1.dialAt) }
    }

    mutating func pollLink() -> LinkAction? {
        if let action = actions.popFirst() { return action }
        return client.pollTransmit().map { .send(SwarmLink(index: Int($0.0.number)), $0.1) }
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

    /// Writes a value of the application.
    ///
    /// - Returns: `false` when soul, key or value cannot be in a graph.
    mutating func put(_ value: JSONValue, key: String, of soul: String, state: Double, now: Instant) -> Bool {
        guard let value = GunValue(value), Soul(soul) != nil, Key(key) != nil else { return false }
        put([(key, value)], of: soul, state: state, isDurable: true, now: now)
        return true
    }

    /// What is held of a soul now.
    func node(_ soul: String) -> [(key: String, value: JSONValue)] {
        guard let node = Soul(soul).flatMap({ client.node($0) }) else { return [] }
        return node.entries.map { ($0.key.text.string, $0.value.value.json) }.sorted { $0.0 < $1.0 }
    }

    private mutating func put(
        _ values: [(String, GunValue)], of soul: String, state: Double, isDurable: Bool, now: Instant
    ) {
        guard let soul = Soul(soul) else { return }
        let values = values.compactMap { key, value in Key(key).map { ($0, value) } }
        client.put(soul, values, state: state, durable: isDurable, now: now)
    }

    /// The next value that somebody else wrote.
    mutating func pollChange() -> Change? {
        while let event = client.pollEvent() {
            if case .changed(let soul, let key, let value, _) = event {
                return Change(soul: soul.text.string, key: key.text.string, value: value.json)
            }
        }
        return nil
    }
}
