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
    var sent = 0
    var received = 0
    var lost = 0
    var duplicated = 0
    var reordered = 0
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
            sent += count
            let numbers = (log.received[pair] ?? []).map(\.number)
            received += numbers.count
            let distinct = Set(numbers)
            lost += (1...max(1, count)).filter { $0 <= count && !distinct.contains($0) }.count
            duplicated += numbers.count - distinct.count
            var seen: Set<Int> = []
            var highest = 0
            for number in numbers where seen.insert(number).inserted {
                if number < highest { reordered += 1 }
                highest = max(highest, number)
            }
        }
    }

    /// Whether every message came once and in order.
    var isPerfect: Bool { lost == 0 && duplicated == 0 && reordered == 0 }

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

    private var counts: [(name: String, key: JSONText, count: Int)] {
        [
            ("sent", "sent", sent), ("lost", "lost", lost), ("duplicated", "duplicated", duplicated),
            ("reordered", "reordered", reordered),
        ]
    }

    /// One object with all of it.
    var json: JSONValue {
        var object: [(JSONText, JSONValue)] = measures.map { ($0.key, $0.measure.json) }
        object += counts.map { ($0.key, .integer($0.count)) }
        object.append(("seconds", .number((duration.milliseconds / 100).rounded() / 10)))
        return .object(JSONObject(object))
    }

    /// For people.
    func table(style: TerminalStyle) -> String {
        let width = 34
        func row(_ name: String, _ values: [String]) -> String {
            "  " + name + String(repeating: " ", count: max(0, width - name.count))
                + values.map { String(repeating: " ", count: max(0, 11 - $0.count)) + $0 }.joined()
        }
        let line = "  " + String(repeating: "─", count: width + 22)
        var lines = ["", style.bold(row("six pairs, each way", ["median", "worst"])), line]
        lines += measures.map { row($0.name, [text($0.measure.median), text($0.measure.worst)]) }
        lines.append(line)
        for (name, _, count) in counts {
            let text = row("messages \(name)", [grouped(count)])
            lines.append(name == "sent" ? text : style(text, count == 0 ? .green : .red))
        }
        lines.append("")
        return lines.joined(separator: "\n")
    }

    private func text(_ duration: Duration) -> String {
        let milliseconds = Int(duration.milliseconds.rounded())
        return milliseconds < 10_000 ? "\(grouped(milliseconds)) ms" : "\((milliseconds + 500) / 1000) s"
    }
}

/// A number with a comma between thousands.
func grouped(_ number: Int) -> String {
    let digits = Array(String(number))
    var result = ""
    for (index, digit) in digits.enumerated() {
        if index > 0, (digits.count - index).isMultiple(of: 3), digits[index - 1] != "-" { result.append(",") }
        result.append(digit)
    }
    return result
}
