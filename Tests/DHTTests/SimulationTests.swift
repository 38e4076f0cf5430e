import DHT
import Foundation
import SwarmBase
import Testing

/// Lookups in a DHT of our nodes, 20 % of which cannot be reached and 5 % lie, while they come and go with a median of 30 minutes.
///
/// `SWARM_DHT_NODES=5000` runs the sizes up to that, in an optimised build within a minute; without it there are a few hundred nodes.
@Suite(.serialized) struct SimulationTests {
    struct Row {
        var nodes: Int
        var lookups = 0
        var found = 0
        var hops: [Int] = []
        var queries: [Int] = []
        var durations: [Double] = []
        var datagrams = 0
    }

    static func measure(nodes: Int, lookups: Int, seed: UInt64) -> Row {
        let dht = SimulatedDHT(count: nodes, seed: seed)
        dht.beginChurn()
        dht.run(for: .seconds(120))
        var row = Row(nodes: nodes)
        var announced: [(infoHash: NodeID, peer: SimulatedDHT.Host)] = []
        for _ in 0..<lookups {
            guard let host = dht.anyone() else { continue }
            let infoHash = dht.randomID()
            _ = dht.ask(host) { $0.getPeers(infoHash, announcing: 0, now: dht.now) }
            announced.append((infoHash, host))
            dht.run(for: .milliseconds(200))
        }
        dht.run(for: .seconds(60))
        var searches: [(host: SimulatedDHT.Host, id: OperationID, peer: TransportAddress)] = []
        for (infoHash, peer) in announced {
            guard let host = dht.anyone() else { continue }
            let id = dht.ask(host) { $0.getPeers(infoHash, now: dht.now) }
            searches.append((host, id, peer.address))
            dht.run(for: .milliseconds(200))
        }
        dht.run(for: .seconds(40))
        for search in searches where !search.host.isGone {
            row.lookups += 1
            if search.host.found[search.id]?.contains(search.peer) == true { row.found += 1 }
            guard let outcome = search.host.outcomes[search.id] else { continue }
            row.hops.append(outcome.hops)
            row.queries.append(outcome.queries)
            row.durations.append(outcome.duration.milliseconds / 1000)
        }
        row.datagrams = dht.datagrams
        return row
    }

    @Test func lookupsSucceed() throws {
        let most = ProcessInfo.processInfo.environment["SWARM_DHT_NODES"].flatMap { Int($0) } ?? 200
        let seed = UInt64(20)
        let started = ContinuousClock.now
        var rows: [Row] = []
        for nodes in [100, 200, 500, 1000, 2000, 5000] where nodes <= most {
            rows.append(Self.measure(nodes: nodes, lookups: most > 500 ? 300 : 60, seed: seed + UInt64(nodes)))
        }
        let wall = ContinuousClock.now - started
        print("seed \(seed); 20 % unreachable, 5 % malicious, median lifetime 30 min, 1 % loss")
        print(" nodes  lookups  found   hops mean/max  queries mean  seconds median/p99  datagrams")
        for row in rows {
            let mean = Double(row.hops.reduce(0, +)) / Double(max(1, row.hops.count))
            let queries = Double(row.queries.reduce(0, +)) / Double(max(1, row.queries.count))
            let durations = row.durations.sorted()
            let median = durations.isEmpty ? 0 : durations[durations.count / 2]
            let p99 = durations.isEmpty ? 0 : durations[min(durations.count - 1, durations.count * 99 / 100)]
            print(
                String(
                    format: "%6d  %7d  %5.1f%%  %8.2f /%3d  %12.1f  %12.2f /%5.2f  %9d", row.nodes, row.lookups,
                    100 * Double(row.found) / Double(max(1, row.lookups)), mean, row.hops.max() ?? 0, queries, median,
                    p99,
                    row.datagrams))
            #expect(Double(row.found) >= 0.99 * Double(row.lookups), "seed \(seed): \(row.nodes) nodes")
            #expect(row.hops.count == row.lookups, "every search is over")
            // O(log n): with K = 8, a hop for each three bits of the distance, and some for what is lost and for lies.
            #expect(mean <= log2(Double(row.nodes)) / 2 + 1, "seed \(seed): \(row.nodes) nodes")
        }
        print("wall time \(wall)")
        #expect(rows.reduce(0) { $0 + $1.lookups } >= 100)
    }
}
