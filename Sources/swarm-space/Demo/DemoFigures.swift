import JSON
import SwarmBase
import SwarmEngine

/// What the demo measured.
struct DemoFigures: Sendable {
    /// One measure, taken for each pair of members.
    struct Measure: Sendable {
        var median: Duration
        var worst: Duration

        init(_ samples: [Duration]) {
            let sorted = samples.sorted()
            worst = sorted.last ?? .zero
            median = sorted.isEmpty ? .zero : sorted[sorted.count / 2]
        }

        var json: JSONValue { ["median_ms": Self.number(median), "worst_ms": Self.number(worst)] }

        private static func number(_ duration: Duration) -> JSONValue {
            .number((duration.milliseconds * 10).rounded() / 10)
        }
    }

    /// The moments between which is measured.
    struct Moments: Sendable {
        var start: DemoLog.Moment
        var cut: DemoLog.Moment
        var relayGone: DemoLog.Moment
        var mended: DemoLog.Moment
        var end: DemoLog.Moment
    }

    var discovery: Measure
    var firstMessage: Measure
    var directPath: Measure
    /// From the last message before the cut to the first one after it.
    var failoverGap: Measure
    /// The longest silence while the direct path is cut and the supernode is away.
    var restartGap: Measure
    /// From the mending to the first message by the direct path.
    var recovery: Measure
    var messages = MessageTally()
    var duration: Duration

    init(_ log: DemoLog.Contents, _ moments: Moments) {
        discovery = Measure(log.discovered.values.map { $0 - moments.start })
        firstMessage = Measure(log.received.values.compactMap { $0.first.map { $0.at - moments.start } })
        directPath = Measure(log.direct.values.map { $0 - moments.start })
        failoverGap = Measure(
            log.received.values.compactMap { receipts in
                guard let after = receipts.firstIndex(where: { $0.at > moments.cut }), after > 0 else { return nil }
                return receipts[after].at - receipts[after - 1].at
            })
        restartGap = Measure(
            log.received.values.compactMap { receipts in
                zip(receipts, receipts.dropFirst()).filter { $1.at > moments.relayGone && $0.at < moments.mended }
                    .map { $1.at - $0.at }.max()
            })
        recovery = Measure(
            log.received.values.compactMap { receipts in
                receipts.first { $0.at > moments.mended && $0.path == .direct }.map { $0.at - moments.mended }
            })
        duration = moments.end - moments.start
        for (pair, count) in log.sent {
            messages.add(sent: count, received: (log.received[pair] ?? []).map(\.number))
        }
    }

    private var measures: [(name: String, key: JSONText, measure: Measure)] {
        [
            ("time to discovery", "discovery", discovery),
            ("time to first message", "first_message", firstMessage),
            ("time to direct path", "direct_path", directPath),
            ("failover gap", "failover_gap", failoverGap),
            ("gap while the relay restarts too", "restart_gap", restartGap),
            ("recovery of the direct path", "recovery", recovery),
        ]
    }

    /// One object with all of it.
    var json: JSONValue {
        var object: [(JSONText, JSONValue)] = measures.map { ($0.key, $0.measure.json) }
        object += messages.counts.map { (JSONText($0.name), .integer($0.count)) }
        object.append(("seconds", .number((duration.milliseconds / 100).rounded() / 10)))
        return .object(JSONObject(object))
    }

    /// For people.
    func table(style: TerminalStyle) -> String {
        let table = FigureTable(width: 34, column: 11, columns: 2, style: style)
        var lines = ["", style.bold(table.row("six pairs, each way", ["median", "worst"])), table.line]
        lines += measures.map { table.row($0.name, [text($0.measure.median), text($0.measure.worst)]) }
        lines += [table.line] + messages.rows(of: table) + [""]
        return lines.joined(separator: "\n")
    }

    private func text(_ duration: Duration) -> String {
        let milliseconds = Int(duration.milliseconds.rounded())
        return milliseconds < 10_000 ? "\(grouped(milliseconds)) ms" : "\((milliseconds + 500) / 1000) s"
    }
}
