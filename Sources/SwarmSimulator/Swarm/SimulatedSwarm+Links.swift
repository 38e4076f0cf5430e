import Gun
import SwarmBase
import SwarmEngine
import Tracker

/// A WebSocket between a member and a server: whole frames, in order, late where the network loses packets.
struct SimulatedLink {
    struct Direction {
        var lastArrival = Instant.zero
        /// What waits while the network is cut.
        var held: [[UInt8]] = []
    }

    let member: Int
    let server: Int
    let name: SwarmLink
    var isOpenAtMember = false
    var isOpenAtServer = false
    var up = Direction()
    var down = Direction()
    /// Since when nothing passes.
    var stalledSince: Instant?
    /// Its member's address is another one by now.
    var isAbandoned = false
}

/// The links of members to relays and trackers, and these servers.
extension SimulatedSwarm {
    /// How long a socket waits for an answer to its pings before it closes: two intervals.
    private static let pingTimeout = Duration.seconds(35)
    /// How long a dial waits for an answer.
    private static let dialTimeout = Duration.seconds(5)

    // MARK: What engines want

    func carryOut(_ action: LinkAction, of member: SimulatedMember) {
        switch action {
        case .dial(let name, let url): dial(name, url, of: member)
        case .send(let name, let frame):
            if let link = member.links[name], links[link].isOpenAtMember { send(frame, on: link, toServer: true) }
        case .probe(let name): if let link = member.links[name], links[link].isOpenAtMember { probe(link) }
        case .close(let name):
            guard let link = member.links.removeValue(forKey: name) else { return }
            links[link].isOpenAtMember = false
            events.add(.closed(link: link, atServer: true), at: arrival(on: link, toServer: true))
        }
    }

    private func dial(_ name: SwarmLink, _ url: String, of member: SimulatedMember) {
        guard let server = servers.firstIndex(where: { $0.url == url }) else { return }
        let link = links.count
        links.append(SimulatedLink(member: member.index, server: server, name: name))
        member.links[name] = link
        let trip = self.trip(of: link)
        if !canReach(member.host, servers[server].host) {
            events.add(.closed(link: link, atServer: false), at: now + Self.dialTimeout)
        } else if !servers[server].isUp {
            events.add(.closed(link: link, atServer: false), at: now + trip * 2)
        } else {
            // TCP's handshake, then the upgrade: the server has it with the second request.
            events.add(.opened(link: link, atServer: true), at: now + trip * 3)
            events.add(.opened(link: link, atServer: false), at: now + trip * 4)
        }
    }

    /// One way, without anything lost.
    private func trip(of link: Int) -> Duration {
        network.uplink(of: members[links[link].member].host).delay
            + network.uplink(of: servers[links[link].server].host).delay
    }

    /// When what is sent now arrives: in order, and later where a packet had to be repeated.
    private func arrival(on link: Int, toServer: Bool) -> Instant {
        let conditions = network.uplink(of: members[links[link].member].host)
        var at = now + trip(of: link)
        if conditions.jitter > .zero { at += conditions.jitter * Double.random(in: 0..<1, using: &random) }
        if conditions.loss > 0, Double.random(in: 0..<1, using: &random) < conditions.loss {
            at += .milliseconds(200) + trip(of: link) * 2
        }
        if toServer {
            links[link].up.lastArrival = max(links[link].up.lastArrival, at)
            return links[link].up.lastArrival
        }
        links[link].down.lastArrival = max(links[link].down.lastArrival, at)
        return links[link].down.lastArrival
    }

    private func send(_ frame: [UInt8], on link: Int, toServer: Bool) {
        trace.packet("link \(link) \(toServer ? "up" : "down"): \(frame.count) bytes", at: now)
        guard links[link].stalledSince == nil else {
            if toServer { links[link].up.held.append(frame) } else { links[link].down.held.append(frame) }
            return
        }
        events.add(.frame(link: link, frame, toServer: toServer), at: arrival(on: link, toServer: toServer))
    }

    // MARK: What happens to links

    func opened(_ link: Int, atServer: Bool) {
        let server = servers[links[link].server]
        if atServer {
            guard canReach(members[links[link].member].host, server.host), isCurrent(link) else { return }
            guard server.isUp else { return events.add(.closed(link: link, atServer: false), at: now + trip(of: link)) }
            links[link].isOpenAtServer = true
            let member = members[links[link].member]
            server.relay?.linkOpened(LinkID(UInt64(link)), now: now)
            _ = server.tracker?.linkOpened(
                TrackerLinkID(UInt64(link)), from: network.addresses(of: member.host)[0], now: now)
            drain(server)
        } else if isCurrent(link) {
            guard links[link].isOpenAtServer, links[link].stalledSince == nil else {
                return events.add(.closed(link: link, atServer: false), at: now + Self.dialTimeout)
            }
            links[link].isOpenAtMember = true
            let name = links[link].name
            act(members[links[link].member]) { $0.linkOpened(name, now: self.now) }
        }
    }

    /// Whether the member still means this socket by the name.
    private func isCurrent(_ link: Int) -> Bool { members[links[link].member].links[links[link].name] == link }

    func closed(_ link: Int, atServer: Bool) {
        if atServer {
            guard links[link].isOpenAtServer else { return }
            links[link].isOpenAtServer = false
            links[link].down.held = []
            let server = servers[links[link].server]
            server.relay?.linkClosed(LinkID(UInt64(link)), now: now)
            server.tracker?.linkClosed(TrackerLinkID(UInt64(link)), now: now)
            drain(server)
        } else {
            guard isCurrent(link) else { return }
            let member = members[links[link].member]
            let name = links[link].name
            member.links[name] = nil
            links[link].isOpenAtMember = false
            links[link].up.held = []
            trace.note("\(member.index) loses its link to \(servers[links[link].server].url)", at: now)
            act(member) { $0.linkClosed(name, now: self.now) }
        }
    }

    func receive(_ frame: [UInt8], on link: Int, toServer: Bool) {
        if links[link].stalledSince != nil {
            // It was on its way when the network was cut: TCP has it again.
            if toServer { links[link].up.held.append(frame) } else { links[link].down.held.append(frame) }
        } else if toServer {
            guard links[link].isOpenAtServer else { return }
            let server = servers[links[link].server]
            secrecy.inspect(frame, seenBy: server.url)
            server.relay?.receive(frame: frame, on: LinkID(UInt64(link)), now: now, wall: wall)
            server.tracker?.receive(frame, on: TrackerLinkID(UInt64(link)), now: now)
            drain(server)
        } else {
            guard isCurrent(link), links[link].isOpenAtMember else { return }
            let name = links[link].name
            act(members[links[link].member]) { $0.receive(frame: frame, on: name, now: self.now) }
        }
    }

    /// All that a process had open is closed by its system.
    func closeLinks(of member: SimulatedMember) {
        for link in member.links.values.sorted() {
            links[link].isOpenAtMember = false
            if canReach(member.host, servers[links[link].server].host) {
                events.add(.closed(link: link, atServer: true), at: arrival(on: link, toServer: true))
            } else {
                events.add(.closed(link: link, atServer: true), at: now + Self.pingTimeout)
            }
        }
        member.links = [:]
    }

    /// The member's address is another one: its sockets are dead, which it and the servers find out by silence.
    func abandonLinks(of member: SimulatedMember) {
        for link in member.links.values.sorted() {
            links[link].stalledSince = links[link].stalledSince ?? now
            links[link].isAbandoned = true
            events.add(.closed(link: link, atServer: false), at: now + Self.pingTimeout)
            events.add(.closed(link: link, atServer: true), at: now + Self.pingTimeout)
        }
    }

    /// A member sees that the address of some sockets is gone.
    func dropAbandonedLinks(of member: SimulatedMember) {
        for link in member.links.values.sorted() where links[link].isAbandoned { closed(link, atServer: false) }
    }

    private func probe(_ link: Int) {
        guard let since = links[link].stalledSince else { return }
        at(now + SwarmLink.probePatience) { [self] in
            if links[link].stalledSince == since { closed(link, atServer: false) }
        }
    }

    /// Holds what is on links that are cut, and lets go what was held on those that are not any more.
    func updateStalls() {
        for link in links.indices where links[link].isOpenAtMember || links[link].isOpenAtServer {
            let member = members[links[link].member]
            let isCut = !canReach(member.host, servers[links[link].server].host)
            if isCut, links[link].stalledSince == nil {
                links[link].stalledSince = now
                events.add(.stallCheck(link: link, since: now), at: now + Self.pingTimeout)
            } else if !isCut, let since = links[link].stalledSince, isCurrent(link), !links[link].isAbandoned {
                // TCP repeats after 0.2, 0.6, 1.4 … s: it takes until the next of these moments to notice.
                var repeats = Duration.milliseconds(200)
                while since + repeats < now { repeats = repeats * 2 + .milliseconds(200) }
                at(since + repeats) { [self] in resume(link, since: since) }
            }
        }
    }

    private func resume(_ link: Int, since: Instant) {
        guard links[link].stalledSince == since, isCurrent(link),
            canReach(members[links[link].member].host, servers[links[link].server].host)
        else { return }
        links[link].stalledSince = nil
        let (up, down) = (links[link].up.held, links[link].down.held)
        links[link].up.held = []
        links[link].down.held = []
        // An end that is gone answers what reaches it with a reset; pings see to it that something does.
        guard links[link].isOpenAtServer else { return closed(link, atServer: false) }
        guard links[link].isOpenAtMember else { return closed(link, atServer: true) }
        for frame in up { send(frame, on: link, toServer: true) }
        for frame in down { send(frame, on: link, toServer: false) }
    }

    func checkStall(of link: Int, since: Instant) {
        guard links[link].stalledSince == since else { return }
        closed(link, atServer: false)
        closed(link, atServer: true)
    }

    // MARK: Servers

    func start(_ server: SimulatedServer) {
        switch server.kind {
        case .relay: server.relay = GunRelay(entropy: entropy.fork())
        case .tracker: server.tracker = TrackerServer(entropy: entropy.fork())
        }
        trace.note("\(server.url) starts", at: now)
        drain(server)
    }

    /// Ends a server; its sockets are closed.
    ///
    /// - Parameter losesStore: what a relay had kept is gone too.
    public func crash(_ server: SimulatedServer, losesStore: Bool) {
        guard server.isUp, let index = servers.firstIndex(where: { $0 === server }) else { return }
        trace.note("\(server.url) crashes\(losesStore ? " and loses its store" : "")", at: now)
        server.relay = nil
        server.tracker = nil
        server.nextTimeout = nil
        if losesStore { server.store = [:] }
        for link in links.indices where links[link].server == index && links[link].isOpenAtServer {
            links[link].isOpenAtServer = false
            links[link].down.held = []
            if links[link].stalledSince == nil {
                events.add(.closed(link: link, atServer: false), at: arrival(on: link, toServer: false))
            }
        }
    }

    public func restart(_ server: SimulatedServer) {
        if !server.isUp { start(server) }
    }

    func drain(_ server: SimulatedServer) {
        while let event = server.relay?.pollEvent() {
            switch event {
            case .load(let id, let range):
                server.relay?.loaded(id, server.read(range), now: now, wall: wall)
            case .store(let id, let records):
                server.keep(records)
                server.relay?.stored(id, now: now)
            case .pause, .changes:
                // Nobody here is too fast for long, and relays are not given to each other.
                break
            case .close(let id, _):
                drop(Int(id.number))
            }
        }
        while let (id, frame) = server.relay?.pollTransmit() { send(frame, on: Int(id.number), toServer: false) }
        while let (id, frame) = server.tracker?.pollTransmit() { send(frame, on: Int(id.rawValue), toServer: false) }
        while let event = server.tracker?.pollEvent() {
            if case .close(let id, _) = event { drop(Int(id.rawValue)) }
        }
        server.nextTimeout = server.relay?.nextTimeout ?? server.tracker?.nextTimeout
    }

    /// A server closes a link.
    private func drop(_ link: Int) {
        trace.note("\(servers[links[link].server].url) drops \(links[link].member)", at: now)
        links[link].isOpenAtServer = false
        events.add(.closed(link: link, atServer: false), at: arrival(on: link, toServer: false))
    }
}
