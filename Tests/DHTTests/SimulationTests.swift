import SwarmBase
import SwarmSimulator
import Testing

/// Lookups in a DHT of our nodes, 20 % of which cannot be reached and 5 % lie, while they come and go with a median of 30 minutes.
///
/// `scripts/simulate --dht 5000` does the same with up to so many, in an optimised build, and CI does that.
@Suite(.serialized) struct SimulationTests {
    @Test(arguments: [100, 200]) func lookupsSucceed(nodes: Int) {
        let seed = UInt64(20 + nodes)
        let figures = LookupFigures(nodes: nodes, lookups: 60, seed: seed)
        #expect(figures.isGood, "seed \(seed)\n\(LookupFigures.heading)\n\(figures.row)")
        #expect(figures.lookups >= 50)
    }

    /// Two runs have their dictionaries elsewhere in memory, and so in another order: what a node does must not depend on it.
    @Test func aSeedDoesTheSameAgain() {
        let seed = UInt64(7)
        let first = LookupFigures(nodes: 50, lookups: 20, seed: seed)
        let second = LookupFigures(nodes: 50, lookups: 20, seed: seed)
        #expect(first.traceHash == second.traceHash, "seed \(seed)")
        #expect(first.datagrams > 5_000)
        #expect(LookupFigures(nodes: 50, lookups: 20, seed: seed + 1).traceHash != first.traceHash)
    }
}
