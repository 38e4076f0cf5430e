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
            one it measures that relay, ours or another; give its process by --pid to see its memory. Relays that --relay \
            names are measured beside it, each part after the other, and get figures without goals. All clients are in \
            this process, on one thread. The goals are those for two cores that relay and clients share.

            `ceiling` looks for the paced ceiling: the largest rate of puts to all subscribers at which nothing is lost and \
            no queue grows. `flood` asks for nodes that do not exist as fast as they are answered, and writes meanwhile.

            EXAMPLES
              swarm-space bench relay
              swarm-space bench relay --only acks --seconds 10 --json
              swarm-space bench relay ws://127.0.0.1:8765/gun --pid 4711
              swarm-space bench relay --only ceiling --relay ws://127.0.0.1:8765/gun
            """)

    enum Part: String, CaseIterable, ExpressibleByArgument {
        case light, heavy, ceiling, acks, gets, flood, idle, memory
    }

    @Argument(help: ArgumentHelp("The relay to measure. (default: one of its own)", valueName: "gun-url"))
    var url: String?

    @Option(
        name: .customLong("relay"),
        help: ArgumentHelp("Another relay, to be measured beside. May be repeated.", valueName: "gun-url"))
    var others: [String] = []

    @Option(help: "Measure only this: light, heavy, ceiling, acks, gets, flood, idle or memory. May be repeated.")
    var only: [Part] = []

    @Option(help: "How long each figure is measured.")
    var seconds = 5.0

    @Option(help: "How many connections write, for `heavy` and `ceiling`.")
    var publishers = 4

    @Option(help: "How many connections read each value, for `heavy` and `ceiling`.")
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
        for url in [url].compactMap(\.self) + others where WebSocketURL(url) == nil {
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
        if part != .memory || url == nil {
            let own = url == nil ? try ServeProcess(options: part == .memory ? ["--memory", String(memory)] : []) : nil
            defer { own?.end() }
            try await measure(part, url ?? own?.gun ?? "", process: own?.pid ?? pid, &figures, screen)
        }
        // What needs to see the process cannot be said of others.
        guard part != .idle, part != .memory else { return }
        for (number, other) in others.enumerated() {
            var beside = BenchFigures()
            try await measure(part, other, process: nil, &beside, screen)
            for figure in beside.figures {
                figures.add(
                    "\(other): \(figure.name)", JSONText("relay\(number + 1)_\(figure.key)"), figure.value, figure.unit)
            }
            if part == .ceiling, let ours = figures["ceiling_per_s"], let theirs = beside["ceiling_per_s"], theirs > 0 {
                figures.add(
                    "ceiling, times that of \(other)", JSONText("ceiling_times_relay\(number + 1)"), ours / theirs, "×",
                    atLeast: 4)
            }
        }
    }

    private func measure(
        _ part: Part, _ address: String, process: Int32?, _ figures: inout BenchFigures, _ screen: StepScreen
    ) async throws {
        guard let address = WebSocketURL(address) else { return }
        let load = RelayLoad(address)
        do {
            switch part {
            case .light:
                try await fanOut(
                    load, "light", publishers: 2, subscribers: 8, rate: 200, p50: 2, p99: 15, &figures, screen)
            case .heavy:
                try await fanOut(
                    load, "heavy", publishers: publishers, subscribers: subscribers, rate: rate, p50: 25, p99: 50,
                    &figures, screen)
            case .ceiling: try await ceiling(load, &figures, screen)
            case .acks: try await acks(load, &figures, screen)
            case .gets: try await gets(load, &figures, screen)
            case .flood: try await flood(load, &figures, screen)
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
            "\(name): median grows by", JSONText("\(key)_growth_ms"), run.growth.milliseconds, "ms", atMost: 5)
        await screen.done(
            "\(name): \(Int(median * 1000)) µs, 99 of 100 \(Int(run.latencies[0.99].milliseconds * 1000)) µs")
    }

    private func ceiling(_ load: RelayLoad, _ figures: inout BenchFigures, _ screen: StepScreen) async throws {
        await screen.begin("the largest rate of puts to \(subscribers) that is kept up with")
        var search = CeilingSearch(from: 125)
        var latencies = Percentiles([])
        while let rate = search.next {
            let run = try await load.fanOut(publishers: publishers, subscribers: subscribers, rate: rate, for: time)
            search.note(keepsUp: run.keepsUp)
            if run.keepsUp { latencies = run.latencies }
        }
        figures.add("paced ceiling × \(subscribers)", "ceiling_per_s", search.ceiling, "/s", atLeast: rate)
        figures.add("there: median", "ceiling_p50_ms", latencies[0.5].milliseconds, "ms", atMost: 25)
        figures.add("there: 99 of 100", "ceiling_p99_ms", latencies[0.99].milliseconds, "ms", atMost: 250)
        await screen.done("up to \(Int(search.ceiling)) puts a second to \(subscribers) are kept up with")
    }

    private func flood(_ load: RelayLoad, _ figures: inout BenchFigures, _ screen: StepScreen) async throws {
        await screen.begin("puts beside a flood of gets for what is not there")
        let run = try await load.flood(window: 2000, for: time)
        figures.add("beside a flood of misses: misses", "flood_misses_per_s", run.misses, "/s", atLeast: 10_000)
        figures.add(
            "beside a flood of misses: durable put, median", "flood_put_p50_ms", run.puts[0.5].milliseconds, "ms",
            atMost: 15)
        figures.add(
            "beside a flood of misses: durable put, 99 of 100", "flood_put_p99_ms", run.puts[0.99].milliseconds, "ms",
            atMost: 50)
        await screen.done("beside \(Int(run.misses)) misses a second a put takes \(run.puts[0.5].milliseconds) ms")
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
