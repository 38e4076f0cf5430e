import CVirtualClock
import SwarmBase
import SwarmSimulator

/// Runs simulated swarms by seed: `scripts/simulate` builds it optimised.
@main
enum Simulate {
    static func main() async {
        var options = Options()
        do { try options.parse(CommandLine.arguments.dropFirst()) } catch { exit(usage: "\(error)") }
        let failures = await runAll(options)
        print("\(options.seeds.count) swarms, \(failures) with problems")
        exit(status: failures == 0 ? 0 : 1)
    }

    private nonisolated static func runAll(_ options: Options) async -> Int {
        let queue = SeedQueue(options.seeds)
        return await withTaskGroup(of: Int.self) { group in
            for _ in 0..<options.jobs {
                group.addTask { await worker(options, queue) }
            }
            var failures = 0
            for await count in group { failures += count }
            return failures
        }
    }

    private nonisolated static func worker(_ options: Options, _ queue: SeedQueue) async -> Int {
        var failures = 0
        while let seed = await queue.next() {
            if !run(seed, options) { failures += 1 }
        }
        return failures
    }

    /// Runs one seed from beginning to end on one thread, whose clock is OpenSSL's.
    private nonisolated static func run(_ seed: UInt64, _ options: Options) -> Bool {
        defer { swarm_virtual_clock_set(-1) }
        let size: SwarmScenario.Size = options.isLarge ? .large : .small
        let trace = options.traces ? BehaviourTrace { print($0) } : BehaviourTrace()
        guard var scenario = try? SwarmScenario(seed: seed, size: size, trace: trace, setClock: { swarm_virtual_clock_set($0) })
        else {
            print("seed \(seed): OpenSSL made no certificate")
            return false
        }
        let outcome = scenario.run()
        if options.tells || !outcome.problems.isEmpty { print("seed \(seed): \(outcome.brief)") }
        for problem in outcome.problems.prefix(20) { print("    \(problem)") }
        return outcome.problems.isEmpty
    }
}
