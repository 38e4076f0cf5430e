import Magnet
import SwarmBase
import Tracker

/// The WebTorrent trackers as the engine uses them: one client for each URL, all in parallel.
struct TrackerPlane {
    /// What a tracker brought.
    enum Event {
        /// An announce is due: `supply` offers.
        case wantsOffers(Int, tracker: Int)
        case offer(TrackerSignal, tracker: Int)
        case answer(TrackerSignal)
        case warning(String)
    }

    private struct Site {
        var url: String
        var client: TrackerClient
        var socket: TrackerSocket?
        var actions = FIFO<LinkAction>()
        var health = PlaneHealth()
    }

    private var sites: [Site]
    private let firstLink: Int
    private let infoHash: InfoHash

    /// - Parameter mostOpenOffers: shared out among the trackers, so that none keeps another from getting some.
    init(
        trackers: [String], firstLink: Int, infoHash: InfoHash, mostOpenOffers: Int, entropy: Entropy, now: Instant
    ) {
        var entropy = entropy
        var settings = TrackerClientConfiguration()
        let share = max(1, mostOpenOffers / max(1, trackers.count))
        settings.openOffersPerSwarm = min(settings.openOffersPerSwarm, share)
        self.firstLink = firstLink
        self.infoHash = infoHash
        sites = trackers.map { Site(url: $0, client: TrackerClient(configuration: settings, entropy: entropy.fork())) }
        for index in sites.indices { sites[index].client.join(infoHash, now: now) }
    }

    mutating func opened(_ link: SwarmLink, now: Instant) {
        withSite(link) { site in
            guard let socket = site.socket else { return }
            site.client.socketOpened(socket, now: now)
        }
    }

    mutating func closed(_ link: SwarmLink, now: Instant) {
        withSite(link) { site in
            guard let socket = site.socket else { return }
            site.socket = nil
            site.health.failed(nil)
            site.client.socketClosed(socket, now: now)
        }
    }

    mutating func receive(_ frame: [UInt8], on link: SwarmLink, now: Instant) {
        withSite(link) { site in
            guard let socket = site.socket else { return }
            site.client.receive(frame, on: socket, now: now)
        }
    }

    mutating func networkChanged(now: Instant) {
        for index in sites.indices { sites[index].client.networkChanged(now: now) }
    }

    /// Brings the next announces forward: a connection is wanted that nothing else can bring about.
    mutating func announceSoon(now: Instant) {
        for index in sites.indices { sites[index].client.announceSoon(infoHash, now: now) }
    }

    mutating func stop(now: Instant) {
        for index in sites.indices { sites[index].client.stop(now: now) }
    }

    mutating func handleTimeout(now: Instant) {
        for index in sites.indices {
            if let at = sites[index].client.nextTimeout, now >= at { sites[index].client.handleTimeout(now: now) }
        }
    }

    var nextTimeout: Instant? {
        sites.reduce(nil) { .earlier($0, $1.client.nextTimeout) }
    }

    mutating func supply(_ offers: [TrackerOffer], tracker: Int, now: Instant) {
        sites[tracker].client.supply(offers, for: infoHash, now: now)
    }

    mutating func answer(_ sdp: String, to offer: TrackerSignal, tracker: Int, now: Instant) {
        sites[tracker].client.answer(sdp, to: offer.peerID, offerID: offer.offerID, in: infoHash, now: now)
    }

    /// The next thing a tracker brought; dials and closes become link actions on the way.
    mutating func pollEvent(now: Instant) -> Event? {
        for index in sites.indices {
            let link = SwarmLink(index: firstLink + index)
            while let event = sites[index].client.pollEvent() {
                switch event {
                case .connect(let socket):
                    sites[index].socket = socket
                    sites[index].health.began(now: now)
                    sites[index].actions.append(.dial(link, url: sites[index].url))
                case .disconnect(let socket):
                    while let frame = sites[index].client.pollTransmit() {
                        sites[index].actions.append(.send(link, frame))
                    }
                    if sites[index].socket == socket { sites[index].socket = nil }
                    sites[index].actions.append(.close(link))
                case .ping(let socket):
                    // The owner's sockets ping by themselves and close when nothing comes back.
                    sites[index].client.noteTraffic(on: socket, now: now)
                case .wantOffers(let count, _): return .wantsOffers(count, tracker: index)
                case .offer(let signal): return .offer(signal, tracker: index)
                case .answer(let signal): return .answer(signal)
                case .warning(let text): return .warning("tracker \(sites[index].url): \(text)")
                case .incompatible(let wait):
                    sites[index].health.failed("it closes the connection on every announce")
                    return .warning(
                        "tracker \(sites[index].url) closes the socket on every announce; tried again in "
                            + "\(wait.components.seconds / 60) min")
                case .announced: sites[index].health.worked(now: now)
                case .offerExpired: continue
                }
            }
        }
        return nil
    }

    mutating func pollLink() -> LinkAction? {
        for index in sites.indices {
            if let action = sites[index].actions.popFirst() { return action }
            if let frame = sites[index].client.pollTransmit() {
                return .send(SwarmLink(index: firstLink + index), frame)
            }
        }
        return nil
    }

    var status: [PlaneStatus] { sites.map { $0.health.status(.tracker, $0.url) } }

    private mutating func withSite(_ link: SwarmLink, _ body: (inout Site) -> Void) {
        let index = link.index - firstLink
        guard sites.indices.contains(index) else { return }
        body(&sites[index])
    }
}
