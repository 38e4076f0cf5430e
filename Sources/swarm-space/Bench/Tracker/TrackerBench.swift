import ArgumentParser
import Foundation
import JSON
import NIOCore
import NIOPosix
import SwarmBase
import SwarmTransport

/// `swarm-space bench tracker`: speed and cost of our tracker, and of any other beside it.
struct TrackerBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tracker",
        abstract: "Speed and cost of the WebTorrent tracker, and of others beside it.",
        discussion: """
            Starts a supernode of its own and puts load on it; then does the same to each URL that is given. Processor \
            time and memory are those of the server's process: for a URL, name it by --pid. Only put load on trackers \
            that are yours.

            EXAMPLES
              swarm-space bench tracker
              swarm-space bench tracker ws://127.0.0.1:8000/ --pid 4711 --json
            """)

    @Argument(help: "WebTorrent trackers to measure beside our own.")
    var url: [String] = []

    @Option(help: "The process of each URL, in order.")
    var pid: [Int32] = []

    @Option(help: "Announces a second while latency is measured.")
    var rate = 300

    @Option(help: "Offers in each announce.")
    var offers = 5

    @Option(help: "How long each load lasts.")
    var seconds = 5.0

    @Option(help: "How many idle connections there are.")
    var connections = 5_000

    @Flag(help: "Print nothing but the figures, as one JSON object a line.")
    var json = false

    func validate() throws {
        guard (1...100_000).contains(rate), (1...20).contains(offers), (0.5...600).contains(seconds),
            (1...60_000).contains(connections)
        else { throw ValidationError("--rate 1…100000, --offers 1…20, --seconds 0.5…600, --connections 1…60000") }
        for text in url where WebSocketURL(text) == nil { throw ValidationError("\(text) is no tracker's URL") }
    }

    func run() async throws {
        OpenFiles.allow(connections + 1_000)
        let output = ConsoleOutput()
        #if DEBUG
            output.note("swarm-space: this is a debug build; measure with 'swift build -c release'")
        #endif
        let supernode = try ServeProcess()
        defer { supernode.end() }
        let own = try await measure(supernode.tracker, process: supernode.pid, output)
        for (index, text) in url.enumerated() {
            let process = pid.indices.contains(index) ? pid[index] : nil
            let figures = try await measure(text, process: process, output)
            if !json, let ratio = own.advantage(over: figures) {
                output.line("  ours: \((ratio * 10).rounded() / 10) times the announces by second of the processor")
            }
        }
        await output.written()
    }

    private func measure(_ text: String, process: Int32?, _ output: ConsoleOutput) async throws -> TrackerFigures {
        var figures = TrackerFigures(url: text)
        guard let url = WebSocketURL(text) else { return figures }
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let time = TimeAmount.milliseconds(Int64(seconds * 1000))
        let (rate, offers) = (rate, offers)

        // What an idle connection holds: first of all, while the process has no memory left over from other loads.
        let resident = process.map { ProcessMemory.resident(of: $0) }
        var load = try await TrackerLoad.open(connections, to: url, perSwarm: 20, on: loop)
        figures.connections = try await loop.flatSubmit { [load] in load.value.announceOnce(for: time) }.get()
        if let resident, let after = process.map({ ProcessMemory.resident(of: $0) }), figures.connections > 0 {
            figures.bytesPerConnection = Double(after - resident) / Double(figures.connections)
            figures.residentBytes = after
        }
        try await close(load, on: loop)

        // How long an offer takes to its receiver.
        load = try await TrackerLoad.open(300, to: url, perSwarm: 20, on: loop)
        figures.latencies = try await loop.flatSubmit { [load] in load.value.pace(rate, offers: offers, for: time) }
            .get()
        try await close(load, on: loop)

        // As fast as it goes; each offer is answered, and the answer brought back.
        load = try await TrackerLoad.open(1_000, to: url, perSwarm: 20, on: loop)
        let before = process.flatMap(ServerProcess.cpu)
        let start = ContinuousClock.now
        let count = try await loop.flatSubmit { [load] in load.value.saturate(offers: offers, for: time) }.get()
        let elapsed = (ContinuousClock.now - start).milliseconds / 1000
        figures.announcesPerSecond = Double(count) / elapsed
        if let before, let after = process.flatMap(ServerProcess.cpu), after > before {
            figures.announcesPerCPUSecond = Double(count) / (after - before)
        }
        try await close(load, on: loop)
        if json { output.line(figures.json.serialized()) } else { output.line(figures.text) }
        return figures
    }

    /// Closes the connections and gives the server a moment to notice.
    private func close(_ load: NIOLoopBound<TrackerLoad>, on loop: any EventLoop) async throws {
        try await loop.submit { load.value.close() }.get()
        try await Task.sleep(for: .seconds(1))
    }
}

/// What was measured of one tracker.
struct TrackerFigures {
    let url: String
    /// From the sender's hands to the receiver's, in milliseconds, ascending.
    var latencies: [Double] = []
    var announcesPerSecond = 0.0
    var announcesPerCPUSecond: Double?
    var connections = 0
    var bytesPerConnection: Double?
    var residentBytes: Int?

    init(url: String) { self.url = url }

    /// How many times the announces this one takes in a second of the processor.
    func advantage(over other: TrackerFigures) -> Double? {
        guard let announcesPerCPUSecond, let others = other.announcesPerCPUSecond, others > 0 else { return nil }
        return announcesPerCPUSecond / others
    }

    private func percentile(_ share: Double) -> Double {
        latencies.isEmpty ? 0 : latencies[min(latencies.count - 1, Int(Double(latencies.count) * share))]
    }

    var json: JSONValue {
        func number(_ value: Double?) -> JSONValue { value.map { .number(($0 * 100).rounded() / 100) } ?? .null }
        return [
            "url": .string(url), "offers": .integer(latencies.count), "offer_ms_p50": number(percentile(0.5)),
            "offer_ms_p99": number(percentile(0.99)), "announces_s": number(announcesPerSecond),
            "announces_cpu_s": number(announcesPerCPUSecond), "connections": .integer(connections),
            "bytes_per_connection": number(bytesPerConnection),
            "resident_bytes": residentBytes.map { .integer($0) } ?? .null,
        ]
    }

    var text: String {
        func shown(_ value: Double?, _ unit: String) -> String {
            value.map { "\(Int($0.rounded())) \(unit)" } ?? "not known"
        }
        func milliseconds(_ value: Double) -> String { "\((value * 100).rounded() / 100) ms" }
        return """
            \(url)
              offer to its receiver, median and 99 of 100   \(milliseconds(percentile(0.5))), \(milliseconds(percentile(0.99))) (of \(latencies.count))
              announces a second                            \(Int(announcesPerSecond.rounded()))
              announces by second of the processor          \(shown(announcesPerCPUSecond, ""))
              memory of an idle connection                  \(shown(bytesPerConnection, "bytes")) (of \(connections))
            """
    }
}

/// What the system knows of another process (proc(5)).
enum ServerProcess {
    /// Seconds of processor time so far.
    static func cpu(_ pid: Int32) -> Double? {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let end = text.lastIndex(of: ")")
        else { return nil }
        // Fields 14 and 15; the first behind the name is the third.
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return nil }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }
}
