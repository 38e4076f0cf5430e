import DHT
import SwarmBase

/// How lookups fare in a ``SimulatedDHT`` of a number of nodes: some announce, and others look for them a minute later.
public struct LookupFigures: Sendable {
    public let nodes: Int
    /// Searches by nodes that were still there when theirs was to be over.
    public private(set) var lookups = 0
    /// Those that found who had announced.
    public private(set) var found = 0
    /// How many answers one behind the other led to each result, ascending.
    public private(set) var hops: [Int] = []
    /// How many queries each search has sent, in no order.
    public private(set) var queries: [Int] = []
    /// How long each took, in seconds, ascending.
    public private(set) var durations: [Double] = []
    public private(set) var datagrams = 0
    /// Of every datagram: the same seed gives the same.
    public private(set) var traceHash: UInt64 = 0

    /// Builds the network, lets nodes come and go for two minutes, and searches.
    public init(nodes: Int, lookups: Int, seed: UInt64) {
        self.nodes = nodes
        let dht = SimulatedDHT(count: nodes, seed: seed)
        dht.beginChurn()
        dht.run(for: .seconds(120))
        var announced: [(infoHash: NodeID, host: SimulatedDHT.Host, id: OperationID)] = []
        for _ in 0..<lookups {
            guard let host = dht.anyone() else { continue }
            let infoHash = dht.randomID()
            let id = dht.ask(host) { $0.getPeers(infoHash, announcing: 0, now: dht.now) }
            announced.append((infoHash, host, id))
            dht.run(for: .milliseconds(200))
        }
        dht.run(for: .seconds(60))
        var searches: [(host: SimulatedDHT.Host, id: OperationID, peer: TransportAddress)] = []
        // Who was gone before it had announced has told nobody.
        for (infoHash, announcer, id) in announced where !announcer.isGone || announcer.outcomes[id] != nil {
            guard let host = dht.anyone() else { continue }
            let id = dht.ask(host) { $0.getPeers(infoHash, now: dht.now) }
            searches.append((host, id, announcer.address))
            dht.run(for: .milliseconds(200))
        }
        dht.run(for: .seconds(40))
        for search in searches where !search.host.isGone {
            self.lookups += 1
            if search.host.found[search.id]?.contains(search.peer) == true { found += 1 }
            guard let outcome = search.host.outcomes[search.id] else { continue }
            hops.append(outcome.hops)
            queries.append(outcome.queries)
            durations.append(outcome.duration.milliseconds / 1000)
        }
        hops.sort()
        durations.sort()
        datagrams = dht.trace.count
        traceHash = dht.trace.hash
    }

    /// Counts what went on in another network of as many nodes, too.
    public mutating func add(_ other: LookupFigures) {
        lookups += other.lookups
        found += other.found
        hops = (hops + other.hops).sorted()
        queries += other.queries
        durations = (durations + other.durations).sorted()
        datagrams += other.datagrams
        // Whose order counts.
        traceHash = (traceHash ^ other.traceHash) &* 0x100_0000_01b3
    }

    /// The share of lookups that found, 0…1.
    public var success: Double { Double(found) / Double(max(1, lookups)) }
    public var meanHops: Double { Double(hops.reduce(0, +)) / Double(max(1, hops.count)) }
    public var meanQueries: Double { Double(queries.reduce(0, +)) / Double(max(1, queries.count)) }

    /// Whether it is as it should be: 99 % are found, every search ends, and the hops grow with the logarithm of the nodes.
    public var isGood: Bool {
        // With K = 8 a hop for each three bits of the distance, and some for what is lost and for lies: half a hop for each doubling.
        let count = Double(nodes)
        let logarithm = Double(count.exponent) + count.significand - 1
        let mostHops = logarithm / 2 + 1
        return lookups > 0 && success >= 0.99 && hops.count == lookups && meanHops <= mostHops
    }

    /// What stands above the columns of ``row``.
    public static let heading =
        "   nodes  lookups   found  hops: mean, most  queries  seconds: median, 99 of 100  datagrams"

    /// The figures as a row of a table.
    public var row: String {
        func column(_ value: Double, _ width: Int, digits: Int) -> String {
            let scale = digits == 1 ? 10.0 : 100.0
            let whole = Int((value * scale).rounded())
            let fraction = String(whole % Int(scale))
            let filled = String(repeating: "0", count: digits - fraction.count) + fraction
            return column("\(whole / Int(scale)).\(filled)", width)
        }
        func column(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        func rank(_ share: Double) -> Double {
            durations.isEmpty ? 0 : durations[min(durations.count - 1, Int(Double(durations.count) * share))]
        }
        return column("\(nodes)", 8) + column("\(lookups)", 9) + column(100 * success, 7, digits: 2) + "%"
            + column(meanHops, 11, digits: 2) + column("\(hops.last ?? 0)", 6) + column(meanQueries, 9, digits: 1)
            + column(rank(0.5), 17, digits: 2) + column(rank(0.99), 11, digits: 2) + column("\(datagrams)", 11)
    }
}
