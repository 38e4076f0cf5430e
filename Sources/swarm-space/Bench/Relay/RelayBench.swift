import ArgumentParser
import JSON
import SwarmBase
import SwarmTransport

/// `swarm-space bench relay`: speed and cost of a GUN relay.
struct RelayBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "relay",
        abstract: "Speed and cost of a GUN relay.",
        discussion: """
            Without a URL it starts `swarm-space serve` as a process of its own, with a data directory that goes away. With \
            one it measures that relay, ours or another; give its process by --pid to see its memory. All clients are in \
            this process, on one thread. The goals are those for two cores that relay and clients share.

            EXAMPLES
              swarm-space bench relay
              swarm-space bench relay --only acks --seconds 10 --json
              swarm-space bench relay ws://127.0.0.1:8765/gun --pid 4711
            """)

    enum Part: String, CaseIterable, ExpressibleByArgument {
        case light, heavy, acks, gets, idle, memory
    }

    @Argument(help: ArgumentHelp("The relay to measure. (default: one of its own)", valueName: "gun-url"))
    var url: String?

    @Option(help: "Measure only this: light, heavy, acks, gets, idle or memory. May be repeated.")
    var only: [Part] = []

    @Option(help: "How long each figure is measured.")
    var seconds = 5.0

    @Option(help: "How many connections write, for `heavy`.")
    var publishers = 4

    @Option(help: "How many connections read each value, for `heavy`.")
    var subscribers = 16

    @Option(help: "How many values are written a second, for `heavy`.")
    var rate = 2000.0

    @Option(help: "How many idle connections there are.")
    var connections = 2_000

    @Option(help: ArgumentHelp("What the relay may take for `memory`, in MiB.", valueName: "mib"))
    var memory = 128

    @Option(help: "The process of the relay behind the URL, for its memory.")
    var pid: Int32?

    @Flag(help: "Print nothing but the figures, as one JSON object.")
    var json = false

    func validate() throws {
        if let url, WebSocketURL(url) == nil {
            throw ValidationError("\(url): give a URL such as ws://127.0.0.1:7750/gun")
        }
        guard seconds >= 0.1, seconds <= 3600 else { throw ValidationError("--seconds: give 0.1 to 3600") }
        guard (1...1000).contains(publishers), (1...1000).contains(subscribers), rate > 0, rate <= 1e6 else {
            throw ValidationError("--publishers, --subscribers: give 1 to 1000; --rate: up to 1000000")
        }
        guard (1...20_000).contains(connections) else { throw ValidationError("--connections: give 1 to 20000") }
    }

    func run() async throws {
        let output = ConsoleOutput()
        let screen = StepScreen(output: output, isSilent: json)
        #if DEBUG
            output.note("swarm-space: this is a debug build; measure with 'swift build -c release'")
        #endif
        OpenFiles.allow(connections + 200)
        var figures = BenchFigures()
        do {
            for part in Part.allCases where only.isEmpty || only.contains(part) {
                try await measure(part, &figures, screen)
            }
        } catch let reason as WebSocketCloseReason {
            await screen.end()
            throw CommandFailure(.unavailable, "the relay cannot be reached: \(reason)")
        }
        await screen.end()
        output.line(json ? figures.json.serialized() : Array(figures.table(style: screen.style).utf8))
        await output.written()
    }

    /// Each part begins with a relay that knows nothing, when it is our own.
    private func measure(_ part: Part, _ figures: inout BenchFigures, _ screen: StepScreen) async throws {
        if part == .memory, url != nil { return }
        let own = url == nil ? try ServeProcess(options: part == .memory ? ["--memory", String(memory)] : []) : nil
        defer { own?.end() }
        guard let address = WebSocketURL(url ?? own?.gun ?? "") else { return }
        let load = RelayLoad(address)
        let process = own?.pid ?? pid
        do {
            switch part {
            case .light:
                try await fanOut(
                    load, "light", publishers: 2, subscribers: 8, rate: 200, p50: 2, p99: 15, &figures, screen)
            case .heavy:
                try await fanOut(
                    load, "heavy", publishers: publishers, subscribers: subscribers, rate: rate, p50: 25, p99: 50,
                    &figures, screen)
            case .acks: try await acks(load, &figures, screen)
            case .gets: try await gets(load, &figures, screen)
            case .idle: try await idle(load, process, &figures, screen)
            case .memory: try await cap(load, process, &figures, screen)
            }
        } catch {
            await load.end()
            throw error
        }
        await load.end()
    }

    private var time: Duration { .milliseconds(Int64(seconds * 1000)) }

    private func fanOut(
        _ load: RelayLoad, _ key: String, publishers: Int, subscribers: Int, rate: Double, p50: Double, p99: Double,
        _ figures: inout BenchFigures, _ screen: StepScreen
    ) async throws {
        let name = "\(Int(rate)) puts/s × \(subscribers)"
        await screen.begin(name)
        let run = try await load.fanOut(publishers: publishers, subscribers: subscribers, rate: rate, for: time)
        let median = run.latencies[0.5].milliseconds
        figures.add(
            "\(name): delivered", JSONText("\(key)_delivered_per_s"), Double(run.delivered) / run.seconds, "/s",
            atLeast: rate * Double(subscribers) * 0.98)
        figures.add(
            "\(name): lost", JSONText("\(key)_lost"), Double(max(0, run.expected - run.delivered)), "values", atMost: 0)
        figures.add("\(name): median", JSONText("\(key)_p50_ms"), median, "ms", atMost: p50)
        figures.add(
            "\(name): 99 of 100", JSONText("\(key)_p99_ms"), run.latencies[0.99].milliseconds, "ms", atMost: p99)
        figures.add(
            "\(name): median grows by", JSONText("\(key)_growth_ms"), (run.last - run.first).milliseconds, "ms",
            atMost: 5)
        await screen.done(
            "\(name): \(Int(median * 1000)) µs, 99 of 100 \(Int(run.latencies[0.99].milliseconds * 1000)) µs")
    }

    private func acks(_ load: RelayLoad, _ figures: inout BenchFigures, _ screen: StepScreen) async throws {
        await screen.begin("puts, acknowledged when they are on disk")
        let rate = try await load.acknowledgements(connections: 4, window: 1000, for: time)
        figures.add("durable acknowledgements", "acks_per_s", rate, "/s", atLeast: 10_000)
        await screen.done("\(Int(rate)) puts a second, acknowledged when they are on disk")
    }

    private func gets(_ load: RelayLoad, _ figures: inout BenchFigures, _ screen: StepScreen) async throws {
        await screen.begin("gets")
        let soul = "gets/\(UInt64.random(in: 0 ... .max))"
        try await load.fill(1000, soul: soul, bytes: 60)
        let rate = try await load.gets(of: soul, nodes: 1000, connections: 8, window: 64, for: time)
        figures.add("gets", "gets_per_s", rate, "/s", atLeast: 20_000)
        await screen.done("\(Int(rate)) gets a second")
    }

    private func idle(
        _ load: RelayLoad, _ process: Int32?, _ figures: inout BenchFigures, _ screen: StepScreen
    ) async throws {
        guard let process else { return }
        await screen.begin("\(connections) idle connections")
        // What the process needs once is needed by then.
        let close = try await load.idle(100)
        let before = ProcessMemory.resident(of: process)
        let closeMore = try await load.idle(connections)
        try await Task.sleep(for: .seconds(1))
        let each = Double(ProcessMemory.resident(of: process) - before) / Double(connections)
        try await close()
        try await closeMore()
        figures.add("memory of an idle connection", "idle_kb_per_connection", each / 1000, "kB", atMost: 10)
        await screen.done("\(connections) idle connections: \(Int(each / 1000)) kB each")
    }

    /// Writes five times what the relay may take, and looks at what it takes meanwhile.
    private func cap(
        _ load: RelayLoad, _ process: Int32?, _ figures: inout BenchFigures, _ screen: StepScreen
    ) async throws {
        guard let process else { return }
        await screen.begin("filling a relay beyond its \(memory) MiB")
        var highest = 0
        let soul = "fill/\(UInt64.random(in: 0 ... .max))"
        for round in 0..<10 {
            try await load.fill(memory * 500, soul: "\(soul)/\(round)", bytes: 1000)
            highest = max(highest, ProcessMemory.resident(of: process))
        }
        _ = try await load.gets(of: "\(soul)/0", nodes: memory * 500, connections: 8, window: 64, for: time)
        highest = max(highest, ProcessMemory.resident(of: process))
        figures.add(
            "memory of a relay that may take \(memory) MiB", "memory_mib", Double(highest) / 1048576, "MiB",
            atMost: Double(memory))
        await screen.done("a relay that may take \(memory) MiB takes \(highest >> 20)")
    }
}
