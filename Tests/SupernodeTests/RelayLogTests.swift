import Logging
import SwarmTransport
import Synchronization
import Testing

@testable import Supernode

/// Lines that a supernode has logged.
private final class LogLines: Sendable {
    private let kept = Mutex<[(message: String, metadata: Logger.Metadata)]>([])

    func add(_ message: String, _ metadata: Logger.Metadata) { kept.withLock { $0.append((message, metadata)) } }

    var all: [(message: String, metadata: Logger.Metadata)] { kept.withLock { $0 } }

    var logger: Logger { Logger(label: "test") { _ in Handler(lines: self) } }

    private struct Handler: LogHandler {
        let lines: LogLines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            lines.add("\(event.message)", metadata.merging(event.metadata ?? [:]) { $1 })
        }
    }
}

@Suite struct RelayLogTests {
    /// What the relay does to a link is a line with fields; what links write is in no line.
    @Test func linesHaveFieldsAndNothingOfWhatIsWritten() async throws {
        let lines = LogLines()
        let supernode = Supernode(configuration: loopbackConfiguration(), logger: lines.logger)
        let endpoints = try await supernode.start()
        let client = try await SocketClient.open(endpoints.gun)
        try await client.send(
            ##"{"#":"sesameput","put":{"~sesame/soul":{"_":{"#":"~sesame/soul",">":{"k":1}},"k":"sesame value"}}}"##)
        try await client.answer(to: "sesameput")
        for _ in 0..<65 { try await client.send("{sesame") }
        try await until("the link is closed") { lines.all.contains { $0.message == "closing a GUN link" } }
        let closing = lines.all.first { $0.message == "closing a GUN link" }
        #expect(Set(closing?.metadata.keys.map(\.self) ?? []) == ["link", "address", "reason"])
        #expect(closing?.metadata["reason"] == "too many broken frames")
        #expect(lines.all.contains { $0.message == "a GUN link is open" && $0.metadata["address"] != nil })
        #expect(!lines.all.contains { "\($0.message) \($0.metadata)".contains("sesame") })
        await supernode.stop()
    }

    private func until(_ what: String, _ condition: () -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(20)
        while !condition() {
            try #require(ContinuousClock.now < deadline, "\(what)")
            await Task.yield()
        }
    }

    /// Each bound of the relay has a metric that says how often it was met.
    @Test func eachBoundHasAMetric() async throws {
        let supernode = Supernode(configuration: loopbackConfiguration())
        let endpoints = try await supernode.start()
        let text = try await get(endpoints.port, "/metrics")
        for name in [
            "memory_bytes", "memory_limit_bytes", "queued_bytes", "unstored_bytes", "deferred_records",
            "records_deferred_total", "pauses_total", "quota_refusals_total", "slow_readers_total",
            "busy_refusals_total",
            "messages_limited_total", "messages_duplicate_total", "frames_broken_total", "puts_refused_total",
            "records_refused_total", "records_late_total", "nodes_evicted_total", "nodes_expired_total",
            "store_nodes_expired_total", "store_failures_total", "peers_linked", "peers_pending_records",
            "federated_puts_total", "federation_refusals_total", "hop_refusals_total", "subscribed_souls", "links",
        ] {
            #expect(text.contains("\nswarm_gun_\(name) "), "\(name)")
        }
        await supernode.stop()
    }
}
