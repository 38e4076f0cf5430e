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
}
