import Magnet
import SwarmBase
import Testing
import Tracker

/// Clients and one server in virtual time, joined by sockets with latency that may break: the client's side learns of
/// it at once, the server's side only later.
struct TrackerSimulation {
    struct Member {
        var client: TrackerClient
        var socket: TrackerSocket?
        var link: TrackerLinkID?
        /// Members that an offer of ours was answered by, or whose offer we answered.
        var partners: Set<Int> = []
        /// What became of each offer that was supplied: 0 while it is open.
        var ends: [TrackerOfferID: Int] = [:]
    }

    enum Happening {
        case opened(Int, TrackerSocket)
        case toServer(TrackerLinkID, [UInt8])
        case toClient(Int, TrackerSocket, [UInt8])
        case brokenAtClient(Int, TrackerSocket)
        case brokenAtServer(TrackerLinkID)
        case supply(Int, Int, InfoHash)
    }

    var members: [Member] = []
    var server: TrackerServer
    var now = Instant.zero
    var happenings: [(at: Instant, number: Int, what: Happening)] = []
    var number = 0
    var generator: SeededGenerator
    var entropy: Entropy
    var owners: [TrackerPeerID: Int] = [:]
    var offerers: [TrackerOfferID: Int] = [:]
    var links: [TrackerLinkID: (member: Int, socket: TrackerSocket)] = [:]
    var nextLink: UInt64 = 0
    var violations: [String] = []
    let hash: InfoHash

    init(members count: Int, seed: UInt64) {
        generator = SeededGenerator(seed: seed)
        entropy = .seed(seed &+ 1)
        server = TrackerServer(entropy: .seed(seed &+ 2))
        hash = InfoHash(bytes: [UInt8](repeating: 0xe9, count: 20))!
        for index in 0..<count {
            members.append(Member(client: TrackerClient(entropy: .seed(seed &* 1000 &+ UInt64(index)))))
        }
    }

    mutating func later(_ range: ClosedRange<Int>, _ what: Happening) {
        number += 1
        happenings.append((now + .milliseconds(Int.random(in: range, using: &generator)), number, what))
    }

    mutating func pump(_ index: Int) {
        while let frame = members[index].client.pollTransmit() {
            guard let link = members[index].link else { continue }
            // A constant latency per direction keeps a socket's messages in order.
            number += 1
            happenings.append((now + .milliseconds(40), number, .toServer(link, frame)))
        }
        while let event = members[index].client.pollEvent() {
            switch event {
            case .connect(let socket): later(20...200, .opened(index, socket))
            case .disconnect(let socket):
                if members[index].socket == socket, let link = members[index].link {
                    members[index].socket = nil
                    members[index].link = nil
                    number += 1
                    happenings.append((now + .milliseconds(40), number, .brokenAtServer(link)))
                }
            case .ping(let socket): members[index].client.noteTraffic(on: socket, now: now)
            case .wantOffers(let count, let infoHash):
                // Mostly at once, sometimes later than the client waits.
                later(
                    Int.random(in: 0..<4, using: &generator) == 0 ? 2000...5000 : 0...300,
                    .supply(index, count, infoHash))
            case .offer(let signal):
                if let owner = owners[signal.peerID] {
                    if offerers[signal.offerID] != owner { violations.append("an offer in another's name") }
                    if owner == index { violations.append("our own offer") }
                }
                members[index].client.answer(
                    "answer", to: signal.peerID, offerID: signal.offerID, in: signal.infoHash, now: now)
                while let frame = members[index].client.pollTransmit() {
                    guard let link = members[index].link else { continue }
                    number += 1
                    happenings.append((now + .milliseconds(40), number, .toServer(link, frame)))
                }
            case .answer(let signal):
                if offerers[signal.offerID] != index { violations.append("an answer to another's offer") }
                end(signal.offerID, of: index)
                if let partner = owners[signal.peerID] {
                    members[index].partners.insert(partner)
                    members[partner].partners.insert(index)
                }
            case .offerExpired(_, let id): end(id, of: index)
            case .announced, .warning, .incompatible: break
            }
        }
    }

    mutating func end(_ id: TrackerOfferID, of index: Int) { members[index].ends[id, default: 0] += 1 }

    mutating func pumpServer() {
        while let (link, frame) = server.pollTransmit() {
            guard let end = links[link] else { continue }
            number += 1
            happenings.append((now + .milliseconds(40), number, .toClient(end.member, end.socket, frame)))
        }
        while server.pollEvent() != nil { violations.append("the server closed a socket") }
    }

    mutating func happen(_ what: Happening) {
        switch what {
        case .opened(let index, let socket):
            nextLink += 1
            let link = TrackerLinkID(nextLink)
            _ = server.linkOpened(link, from: nil, now: now)
            links[link] = (index, socket)
            members[index].socket = socket
            members[index].link = link
            owners[members[index].client.peerID] = index
            members[index].client.socketOpened(socket, now: now)
            pump(index)
        case .toServer(let link, let frame):
            server.receive(frame, on: link, now: now)
            pumpServer()
        case .toClient(let index, let socket, let frame):
            guard members[index].socket == socket else { return }
            members[index].client.receive(frame, on: socket, now: now)
            pump(index)
        case .brokenAtClient(let index, let socket):
            guard members[index].socket == socket else { return }
            let link = members[index].link
            members[index].socket = nil
            members[index].link = nil
            members[index].client.socketClosed(socket, now: now)
            pump(index)
            // The server's ping finds out.
            if let link { later(0...90_000, .brokenAtServer(link)) }
        case .brokenAtServer(let link):
            links[link] = nil
            server.linkClosed(link, now: now)
            pumpServer()
        case .supply(let index, let count, let infoHash):
            var offers: [TrackerOffer] = []
            for _ in 0..<count {
                let id = TrackerOfferID.random(using: &entropy)
                offerers[id] = index
                members[index].ends[id] = 0
                offers.append(TrackerOffer(id: id, sdp: "offer"))
            }
            members[index].client.supply(offers, for: infoHash, now: now)
            pump(index)
        }
    }

    /// Runs until `end`; breaks a random socket about every `breakEvery`.
    mutating func run(until end: Instant, breakEvery: Duration? = nil) {
        var nextBreak = breakEvery.map { now + $0 }
        while true {
            var next: Instant? = happenings.map(\.at).min()
            next = .earlier(next, server.nextTimeout)
            for member in members { next = .earlier(next, member.client.nextTimeout) }
            next = .earlier(next, nextBreak)
            guard let next, next <= end else { break }
            now = max(now, next)
            if let at = nextBreak, now >= at, let breakEvery {
                nextBreak = now + breakEvery
                let index = Int.random(in: 0..<members.count, using: &generator)
                if let socket = members[index].socket { later(0...0, .brokenAtClient(index, socket)) }
            }
            while let place = happenings.indices.filter({ happenings[$0].at <= now }).min(by: {
                (happenings[$0].at, happenings[$0].number) < (happenings[$1].at, happenings[$1].number)
            }) {
                happen(happenings.remove(at: place).what)
            }
            if let due = server.nextTimeout, due <= now {
                server.handleTimeout(now: now)
                pumpServer()
            }
            for index in members.indices {
                if let due = members[index].client.nextTimeout, due <= now {
                    members[index].client.handleTimeout(now: now)
                    pump(index)
                }
            }
        }
        now = end
    }

    /// Whether everyone can reach everyone over partners.
    var isConnected: Bool {
        var reached: Set<Int> = [0]
        var frontier = [0]
        while let index = frontier.popLast() {
            for partner in members[index].partners where reached.insert(partner).inserted { frontier.append(partner) }
        }
        return reached.count == members.count
    }

    mutating func forgetPartners() {
        for index in members.indices { members[index].partners = [] }
    }

    mutating func stopAll() {
        for index in members.indices {
            members[index].client.stop(now: now)
            pump(index)
        }
        run(until: now + .seconds(200))
    }
}

@Suite struct TrackerSimulationTests {
    @Test(arguments: 0..<6 as Range<UInt64>) func aSwarmFormsWithinSeconds(_ seed: UInt64) {
        var simulation = TrackerSimulation(members: 8, seed: seed)
        for index in simulation.members.indices {
            simulation.members[index].client.join(simulation.hash, now: simulation.now)
            simulation.pump(index)
            // All in the same second.
            simulation.run(until: simulation.now + .milliseconds(100))
        }
        simulation.run(until: .zero + .seconds(10))
        #expect(simulation.isConnected, "seed \(seed)")
        #expect(simulation.violations == [], "seed \(seed)")
    }

    @Test(arguments: 0..<6 as Range<UInt64>) func aSwarmSurvivesBreakingSockets(_ seed: UInt64) {
        var simulation = TrackerSimulation(members: 6, seed: seed)
        for index in simulation.members.indices {
            simulation.members[index].client.join(simulation.hash, now: simulation.now)
            simulation.pump(index)
        }
        simulation.run(until: .zero + .seconds(900), breakEvery: .seconds(7))
        #expect(simulation.isConnected, "seed \(seed)")
        // Once it is calm everyone finds everyone anew within two intervals.
        simulation.forgetPartners()
        simulation.run(until: simulation.now + .seconds(300))
        #expect(simulation.isConnected, "seed \(seed)")
        #expect(simulation.violations == [], "seed \(seed)")
        #expect(simulation.server.peerCount == 6, "seed \(seed)")
        #expect(simulation.members.allSatisfy { $0.client.counters.dials > 3 }, "seed \(seed)")

        simulation.stopAll()
        #expect(simulation.server.peerCount == 0 && simulation.server.swarmCount == 0, "seed \(seed)")
        #expect(simulation.server.linkCount == 0, "seed \(seed)")
        for member in simulation.members {
            #expect(member.ends.values.allSatisfy { $0 == 1 }, "every offer ends once; seed \(seed)")
            #expect(member.client.nextTimeout == nil)
        }
    }

    @Test(arguments: 0..<3 as Range<UInt64>) func aLateJoinerReachesEveryonePresentAtOnce(_ seed: UInt64) {
        var simulation = TrackerSimulation(members: 6, seed: seed)
        for index in 0..<5 {
            simulation.members[index].client.join(simulation.hash, now: simulation.now)
            simulation.pump(index)
        }
        simulation.run(until: .zero + .seconds(300))
        simulation.forgetPartners()
        simulation.members[5].client.join(simulation.hash, now: simulation.now)
        simulation.pump(5)
        simulation.run(until: simulation.now + .seconds(6))
        #expect(simulation.members[5].partners == [0, 1, 2, 3, 4], "seed \(seed)")
    }
}
