import Magnet
import SwarmBase
import Tracker

/// Trackers of the BitTorrent kind, over UDP and HTTP: each with a clock of its own, all at once.
struct AnnouncePlane {
    /// How many trackers are used at most.
    static let mostTrackers = 32

    private enum Client {
        case udp(UDPTrackerClient)
        case http(HTTPTrackerClient)
    }

    private struct Site {
        var name: String
        var client: Client
        var health = PlaneHealth()
    }

    private let infoHash: InfoHash
    private var entropy: Entropy
    private var sites: [Site] = []
    private var port: UInt16 = 0
    private var isStopped = false
    private var fetches = FIFO<TrackerFetch>()
    private var transmits = FIFO<Transmit>()
    private var found = FIFO<[TransportAddress]>()

    init(infoHash: InfoHash, entropy: Entropy) {
        self.infoHash = infoHash
        self.entropy = entropy
    }

    mutating func addUDP(_ address: TransportAddress, name: String, now: Instant) {
        guard sites.count < Self.mostTrackers, !isStopped else { return }
        let client = UDPTrackerClient(
            address: address, infoHash: infoHash, port: port, entropy: entropy.fork(), now: now)
        add(Site(name: name, client: .udp(client)), now: now)
    }

    mutating func addHTTP(_ url: String, now: Instant) {
        guard sites.count < Self.mostTrackers, !isStopped else { return }
        let client = HTTPTrackerClient(url: url, infoHash: infoHash, port: port, entropy: entropy.fork(), now: now)
        add(Site(name: url, client: .http(client)), now: now)
    }

    private mutating func add(_ site: Site, now: Instant) {
        var site = site
        site.health.began(now: now)
        sites.append(site)
    }

    /// The port at which others reach our socket, as far as that is known.
    mutating func setPort(_ new: UInt16, now: Instant) {
        guard new != port else { return }
        port = new
        update { client in
            switch client {
            case .udp(var udp):
                udp.port = new
                udp.hurry(now: now)
                client = .udp(udp)
            case .http(var http):
                http.port = new
                http.hurry(now: now)
                client = .http(http)
            }
        }
    }

    /// Announces anew at once: addresses have changed.
    mutating func hurry(now: Instant) {
        update { client in
            switch client {
            case .udp(var udp):
                udp.hurry(now: now)
                client = .udp(udp)
            case .http(var http):
                http.hurry(now: now)
                client = .http(http)
            }
        }
    }

    mutating func stop(now: Instant) {
        isStopped = true
        update { client in
            switch client {
            case .udp(var udp):
                udp.stop(now: now)
                client = .udp(udp)
            case .http(var http):
                http.stop()
                client = .http(http)
            }
        }
        for index in sites.indices { drain(index, now: now) }
    }

    mutating func handleTimeout(now: Instant) {
        for index in sites.indices {
            guard !isStopped, let at = nextTimeout(of: sites[index]), now >= at else { continue }
            change(index) { client in
                switch client {
                case .udp(var udp):
                    udp.handleTimeout(now: now)
                    client = .udp(udp)
                case .http(var http):
                    http.handleTimeout(now: now)
                    client = .http(http)
                }
            }
            drain(index, now: now)
        }
    }

    var nextTimeout: Instant? { isStopped ? nil : sites.reduce(nil) { .earlier($0, nextTimeout(of: $1)) } }

    private func nextTimeout(of site: Site) -> Instant? {
        switch site.client {
        case .udp(let udp): udp.nextTimeout
        case .http(let http): http.nextTimeout
        }
    }

    /// Takes a datagram that may be a UDP tracker's answer: those begin with three zeros.
    mutating func handle(_ datagram: [UInt8], from source: TransportAddress, now: Instant) -> Bool {
        guard datagram.count >= 8, datagram[0] == 0, datagram[1] == 0, datagram[2] == 0 else { return false }
        for index in sites.indices {
            guard case .udp(var udp) = sites[index].client, udp.handle(datagram, from: source, now: now) else {
                continue
            }
            sites[index].client = .udp(udp)
            drain(index, now: now)
            return true
        }
        return false
    }

    /// What a fetch brought; `nil` for nothing.
    mutating func fetched(_ id: Int, _ body: [UInt8]?, reason: String, now: Instant) {
        guard sites.indices.contains(id), case .http(var http) = sites[id].client else { return }
        if let body { http.handle(body: body, now: now) } else { http.failed(reason, now: now) }
        sites[id].client = .http(http)
        drain(id, now: now)
    }

    mutating func pollFetch() -> TrackerFetch? { fetches.popFirst() }
    mutating func pollTransmit() -> Transmit? { transmits.popFirst() }
    /// The next peers that a tracker told of.
    mutating func pollFound() -> [TransportAddress]? { found.popFirst() }

    var status: [PlaneStatus] { sites.map { $0.health.status(.tracker, $0.name) } }

    private mutating func update(_ body: (inout Client) -> Void) {
        for index in sites.indices { change(index, body) }
    }

    private mutating func change(_ index: Int, _ body: (inout Client) -> Void) { body(&sites[index].client) }

    private mutating func drain(_ index: Int, now: Instant) {
        var happened: [AnnounceEvent] = []
        switch sites[index].client {
        case .udp(var udp):
            while let transmit = udp.pollTransmit() { transmits.append(transmit) }
            while let event = udp.pollEvent() { happened.append(event) }
            sites[index].client = .udp(udp)
        case .http(var http):
            while let url = http.pollFetch() { fetches.append(TrackerFetch(id: index, url: url)) }
            while let event = http.pollEvent() { happened.append(event) }
            sites[index].client = .http(http)
        }
        for event in happened {
            switch event {
            case .announced(let reply):
                sites[index].health.worked(now: now)
                // Nobody's node has such a port; many a victim's service has.
                found.append(reply.peers.filter { $0.port >= 1024 })
            case .failed(let reason):
                sites[index].health.failed(reason)
            }
        }
    }
}
