import ArgumentParser
import DataChannels
import JSON
import SwarmBase

/// `swarm-space bench webrtc`: speed and cost of data channels on this machine.
struct WebRTCBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "webrtc",
        abstract: "Speed and cost of data channels.",
        discussion: """
            Both ends run on this machine and talk over loopback, through the same interface that programs use. The long \
            paths are emulated: a process in between delays every datagram and loses some. It takes about a minute. The \
            goals are those for two cores.

            EXAMPLES
              swarm-space bench webrtc
              swarm-space bench webrtc --only throughput --seconds 10 --json
            """)

    enum Part: String, CaseIterable, ExpressibleByArgument {
        case throughput, latency, setup, idle, distance, layers
    }

    @Option(help: "Measure only this: throughput, latency, setup, idle, distance or layers. May be repeated.")
    var only: [Part] = []

    @Option(help: "How long each throughput is measured.")
    var seconds = 5.0

    @Option(help: "How many idle connections there are.")
    var connections = 2_000

    @Flag(help: "Print nothing but the figures, as one JSON object.")
    var json = false

    func validate() throws {
        guard seconds >= 0.1, seconds <= 3600 else { throw ValidationError("--seconds: give 0.1 to 3600") }
        guard (1...20_000).contains(connections) else { throw ValidationError("--connections: give 1 to 20000") }
    }

    func run() async throws {
        let output = ConsoleOutput()
        let screen = StepScreen(output: output, isSilent: json)
        #if DEBUG
            output.note("swarm-space: this is a debug build; measure with 'swift build -c release'")
        #endif
        var figures = BenchFigures()
        do {
            for part in Part.allCases where only.isEmpty || only.contains(part) {
                try await measure(part, &figures, screen)
            }
        } catch let error as DataChannelsError {
            await screen.end()
            throw CommandFailure(.failed, "the measurement broke off: \(error)")
        }
        await screen.end()
        output.line(json ? figures.json.serialized() : Array(figures.table(style: screen.style).utf8))
        await output.written()
    }

    private func measure(_ part: Part, _ figures: inout BenchFigures, _ screen: StepScreen) async throws {
        switch part {
        case .throughput: try await throughput(&figures, screen)
        case .latency: try await latency(&figures, screen)
        case .setup: try await setup(&figures, screen)
        case .idle: try await idle(&figures, screen)
        case .distance: try await distance(&figures, screen)
        case .layers: try await layers(&figures, screen)
        }
    }

    private var time: Duration { .milliseconds(Int64(seconds * 1000)) }

    private func throughput(_ figures: inout BenchFigures, _ screen: StepScreen) async throws {
        for (size, name, key) in [
            (16_384, "16 KiB", "throughput_16k_mbit_s"), (65_536, "64 KiB", "throughput_64k_mbit_s"),
        ] {
            await screen.begin("\(name) messages, as fast as they go")
            let link = try await BenchLink.open()
            let measured = try await Throughput.measure(link, messageSize: size, for: time)
            await link.close()
            figures.add("\(name) messages", .init(key), measured.megabitsPerSecond, "Mbit/s", atLeast: 1800)
            figures.addCost(
                "process time by datagram, \(name) messages", .init("cpu_\(size)_ns_per_datagram"),
                nanoseconds: measured.nanosecondsPerDatagram)
            await screen.done("\(name) messages: \(Int(measured.megabitsPerSecond)) Mbit/s")
        }
        await screen.begin("100-byte messages, as fast as they go")
        let link = try await BenchLink.open()
        let measured = try await Throughput.measure(link, messageSize: 100, for: time)
        await link.close()
        figures.add("100-byte messages", "small_messages_per_s", measured.messagesPerSecond, "/s", atLeast: 500_000)
        await screen.done("100-byte messages: \(Int(measured.messagesPerSecond)) a second")
    }

    private func latency(_ figures: inout BenchFigures, _ screen: StepScreen) async throws {
        await screen.begin("there and back")
        let link = try await BenchLink.open()
        let samples = try await RoundTrips.measure(link, messageSize: 100, count: Int(seconds * 4000))
        await link.close()
        figures.add("round trip, median", "round_trip_p50_us", samples[0.5].microseconds, "µs", atMost: 80)
        figures.add("round trip, 99 of 100", "round_trip_p99_us", samples[0.99].microseconds, "µs", atMost: 160)
        await screen.done("there and back: \(Int(samples[0.5].microseconds)) µs")
    }

    private func setup(_ figures: inout BenchFigures, _ screen: StepScreen) async throws {
        await screen.begin("connections from nothing to an open channel")
        let samples = try await Setups.measure(count: 200)
        figures.add("create to open, median", "setup_p50_ms", samples[0.5].milliseconds, "ms", atMost: 8)
        figures.add("create to open, 99 of 100", "setup_p99_ms", samples[0.99].milliseconds, "ms", atMost: 30)
        await screen.done("from nothing to an open channel: \(Int(samples[0.5].milliseconds)) ms")
    }

    private func idle(_ figures: inout BenchFigures, _ screen: StepScreen) async throws {
        await screen.begin("\(connections) idle connections")
        let cost = try await IdleConnections.measure(count: connections, for: .seconds(15)) { done in
            await screen.begin("idle connections: \(done) of \(connections)")
        }
        figures.add(
            "memory of an idle connection", "idle_kib_per_connection", cost.bytesPerConnection / 1024, "KiB", atMost: 80
        )
        figures.add(
            "processor for \(cost.count) idle connections", "idle_cpu_percent", cost.processorShare * 100,
            "% of a core",
            atMost: 3)
        await screen.done("\(cost.count) idle connections: \(Int(cost.bytesPerConnection / 1024)) KiB each")
    }

    private func distance(_ figures: inout BenchFigures, _ screen: StepScreen) async throws {
        for (loss, name, key, goal) in [
            (0.0, "50 ms away", "distance_mbit_s", 300.0), (0.01, "50 ms away, 1 % lost", "distance_loss_mbit_s", 40.0),
        ] {
            await screen.begin(name)
            let link = try await BenchLink.open(.init(delay: .milliseconds(25), loss: loss))
            let measured = try await Throughput.measure(link, messageSize: 16_384, for: time * 2)
            await link.close()
            figures.add(name, .init(key), measured.megabitsPerSecond, "Mbit/s", atLeast: goal)
            await screen.done("\(name): \(Int(measured.megabitsPerSecond)) Mbit/s")
        }
    }

    private func layers(_ figures: inout BenchFigures, _ screen: StepScreen) async throws {
        await screen.begin("each layer by itself")
        for layer in LayersBench.Layer.allCases {
            let cost = try layer.cost(megabytes: 64, messageSize: 16_384)
            figures.addCost(
                "both ends in memory by packet: \(cost.name)", .init("layer_\(layer.rawValue)_ns_per_packet"),
                nanoseconds: cost.nanosecondsPerPacket)
        }
        await screen.done("each layer by itself")
    }
}

extension Duration {
    fileprivate var microseconds: Double { seconds * 1e6 }
}
