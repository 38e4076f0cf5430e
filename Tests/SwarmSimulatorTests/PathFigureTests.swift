import CVirtualClock
import SwarmBase
import SwarmSimulator
import Testing

/// How long messages are held up when a path breaks, 50 ms from each other: the goals, over a few trials.
@Suite struct PathFigureTests {
    private func trials(_ event: PathFigures.Event) throws -> [PathFigures] {
        defer { swarm_virtual_clock_set(-1) }
        return try (1...4).map { seed in
            try #require(PathFigures.trial(event, seed: seed) { swarm_virtual_clock_set($0) })
        }
    }

    @Test(arguments: [PathFigures.Event.silentCut, .silentCutWithMesh]) func aCutIsGotOver(event: PathFigures.Event)
        throws
    {
        for trial in try trials(event) {
            #expect(trial.gap <= .milliseconds(600))
            #expect(try #require(trial.recovery) <= .seconds(3))
            #expect(trial.problems == 0)
        }
    }

    @Test(arguments: [PathFigures.Event.roaming, .natReboot]) func aChangeOfTheNetworkIsGotOver(
        event: PathFigures.Event
    ) throws {
        for trial in try trials(event) {
            #expect(trial.gap <= .seconds(1))
            #expect(try #require(trial.recovery) <= .seconds(3))
            #expect(trial.problems == 0)
        }
    }
}
