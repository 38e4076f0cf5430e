import CVirtualClock
import Foundation
import SwarmBase
import SwarmSimulator
import Testing

/// Whole swarms under random faults: nothing is lost, doubled or reordered, and all is well soon after the last fault.
///
/// SWARM_SPACE_SWARMS says how many seeds, SWARM_SPACE_SEED that only this one is run, SWARM_SPACE_TRACE that it is told
/// in words.
@Suite struct SwarmScenarioTests {
    private static func number(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
    }

    static let seeds: Range<UInt64> =
        number("SWARM_SPACE_SEED").map { $0..<$0 + 1 } ?? 1..<1 + (number("SWARM_SPACE_SWARMS") ?? 24)
    static let blocks = UInt64(8)

    @Test(arguments: 0..<blocks) func promisesHold(block: UInt64) throws {
        defer { swarm_virtual_clock_set(-1) }
        for seed in Self.seeds where seed % Self.blocks == block {
            let isTold = Self.number("SWARM_SPACE_TRACE") != nil
            let trace = isTold ? BehaviourTrace { line in print(line) } : BehaviourTrace()
            var scenario = try SwarmScenario(seed: seed, trace: trace) {
                swarm_virtual_clock_set($0)
            }
            let outcome = scenario.run()
            #expect(
                outcome.problems.isEmpty,
                "seed \(seed) [\(outcome.summary)]: \(outcome.problems.prefix(10).joined(separator: "; "))")
            if Self.number("SWARM_SPACE_PROGRESS") != nil || !outcome.problems.isEmpty {
                print("swarm \(seed): \(outcome.brief)")
            }
        }
    }
}
