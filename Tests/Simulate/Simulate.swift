import CVirtualClock
import SwarmBase
import SwarmSimulator

/// Runs simulated swarms by seed: `scripts/simulate` builds it optimised.
@main
enum Simulate {
    static func main() async {
        var options = Options()
        do { try options.parse(CommandLine.arguments.dropFirst()) } catch { exit(usage: "\(error)") }
        if options.wantsFigures { exit(status: figures(trials: options.trials) ? 0 : 1) }
        if let nodes = options.nodes { exit(status: lookups(upTo: nodes, options) ? 0 : 1) }
        let failures = await runAll(options)
        print("\(options.seeds.count) swarms, \(failures) with problems")
        exit(status: failures == 0 ? 0 : 1)
    }

    /// Prints how lookups fare in DHTs of more and more nodes.
    private nonisolated static func lookups(upTo most: Int, _ options: Options) -> Bool {
        let seeds = options.networkSeeds
        let last = seeds.upperBound - 1
        let name = seeds.count == 1 ? "seed \(last)" : "seeds \(seeds.lowerBound) to \(last)"
        print("\(name); 20 % of the nodes unreachable, 5 % lying, median lifetime 30 minutes, 1 % loss")
        print(LookupFigures.heading)
        let started = ContinuousClock.now
        var isGood = true
        for nodes in [100, 200, 500, 1000, 2000, 5000, 10_000, 20_000] where nodes <= most {
            guard let figures = lookups(in: nodes, seeds), figures.isGood else {
                isGood = false
                continue
            }
            if options.repeats, lookups(in: nodes, seeds, tells: false)?.traceHash != figures.traceHash {
                print("\(name): \(nodes) nodes do something else when they are run again")
                isGood = false
            }
        }
        print("wall time \(ContinuousClock.now - started)")
        return isGood
    }

    /// Lookups in a DHT of so many nodes for each seed, as one row.
    private nonisolated static func lookups(
        in nodes: Int, _ seeds: Range<UInt64>, tells: Bool = true
    ) -> LookupFigures? {
        var all: LookupFigures?
        for seed in seeds {
            let figures = LookupFigures(nodes: nodes, lookups: 300, seed: seed + UInt64(nodes))
            if all?.add(figures) == nil { all = figures }
        }
        if tells, let all { print(all.row + (all.isGood ? "" : "  bad")) }
        return all
    }

    /// Prints how long paths are missed: a table of percentiles.
    private nonisolated static func figures(trials: UInt64) -> Bool {
        defer { swarm_virtual_clock_set(-1) }
        print("                               gap, ms              recovery, ms")
        print("                               p50   p95   p99      p50   p95   p99   missing, doubled or out of order")
        var isGood = true
        for event in PathFigures.Event.allCases {
            let figures = (1...trials).compactMap { seed in
                PathFigures.trial(event, seed: seed) { swarm_virtual_clock_set($0) }
            }
            let problems = figures.reduce(0) { $0 + $1.problems }
            let gaps = percentiles(figures.map(\.gap))
            let recoveries = percentiles(figures.map { $0.recovery ?? .seconds(60) })
            print("\(pad(event.rawValue, -28)) \(gaps)   \(recoveries)   \(problems) of \(figures.count) trials")
            isGood = isGood && problems == 0 && figures.count == trials
        }
        return isGood
    }

    private nonisolated static func percentiles(_ durations: [Duration]) -> String {
        let sorted = durations.sorted()
        guard !sorted.isEmpty else { return "" }
        return [0.5, 0.95, 0.99].map { share in
            let rank = min(sorted.count - 1, Int((Double(sorted.count) * share).rounded(.up)) - 1)
            return pad(String(Int(sorted[rank].milliseconds)), 5)
        }.joined(separator: " ")
    }

    /// - Parameter width: negative to fill up behind.
    private nonisolated static func pad(_ text: String, _ width: Int) -> String {
        let fill = String(repeating: " ", count: max(0, abs(width) - text.count))
        return width < 0 ? text + fill : fill + text
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
        let trace =
            options.traces
            ? BehaviourTrace(tellsPackets: options.tracesPackets) { print($0) } : BehaviourTrace()
        guard
            var scenario = try? SwarmScenario(
                seed: seed, size: options.size, trace: trace, setClock: { swarm_virtual_clock_set($0) })
        else {
            print("seed \(seed): OpenSSL made no certificate")
            return false
        }
        let outcome = scenario.run()
        if options.repeats {
            var again = try? SwarmScenario(seed: seed, size: options.size, setClock: { swarm_virtual_clock_set($0) })
            guard let second = again?.run(), second.traceHash == outcome.traceHash,
                second.datagrams == outcome.datagrams
            else {
                print("seed \(seed): does something else when it is run again")
                return false
            }
        }
        if options.tells || !outcome.problems.isEmpty { print("seed \(seed): \(outcome.brief)") }
        for problem in outcome.problems.prefix(20) { print("    \(problem)") }
        return outcome.problems.isEmpty
    }
}
