import JSON
import SwarmBase

/// What the trials measured.
struct ReliabilityFigures: Sendable {
    /// What is measured.
    enum Measure: String, CaseIterable, Sendable {
        case discovery = "time to discovery"
        case firstMessage = "time to first message"
        case directPath = "time to direct path"
        case failover = "failover gap"
        case directRecovery = "recovery of the direct path"
        case outage = "recovery after 5 s without network"
        case relayRestart = "recovery after a relay restart"
        case memberRestart = "recovery after a member restart"
        case roaming = "gap while roaming"
        case natReboot = "gap while a NAT reboots"

        /// What the project wants of the 95th percentile, in milliseconds, on two cores; `nil` where no figure is set.
        var goal: Double? {
            switch self {
            case .failover: 600
            case .directRecovery: 3_000
            case .roaming: 1_000
            default: nil
            }
        }

        var key: JSONText { JSONText(String(rawValue.map { $0.isLetter || $0.isNumber ? $0 : "_" }) + "_ms") }
    }

    private(set) var samples: [Measure: [Duration]] = [:]
    var sent = 0
    var lost = 0
    var duplicated = 0
    var reordered = 0
    var trials = 0
    let place: String

    init(place: String) { self.place = place }

    mutating func add(_ measure: Measure, _ duration: Duration) {
        samples[measure, default: []].append(max(.zero, duration))
    }

    /// Takes in what another trial measured.
    mutating func add(_ other: ReliabilityFigures) {
        samples.merge(other.samples) { $0 + $1 }
        sent += other.sent
        lost += other.lost
        duplicated += other.duplicated
        reordered += other.reordered
        trials += 1
    }

    /// Whether every message came once and in order.
    var isPerfect: Bool { lost == 0 && duplicated == 0 && reordered == 0 }

    /// The measures that were taken, in order, each with its percentiles in milliseconds.
    var rows: [(measure: Measure, count: Int, p50: Double, p95: Double, p99: Double)] {
        Measure.allCases.compactMap { measure in
            guard let all = samples[measure], !all.isEmpty else { return nil }
            let percentiles = Percentiles(all)
            return (
                measure, all.count, percentiles[0.5].milliseconds, percentiles[0.95].milliseconds,
                percentiles[0.99].milliseconds
            )
        }
    }

    private var counts: [(name: String, count: Int)] {
        [("sent", sent), ("lost", lost), ("duplicated", duplicated), ("reordered", reordered)]
    }

    /// One object with all of it.
    var json: JSONValue {
        func rounded(_ value: Double) -> JSONValue { .number((value * 10).rounded() / 10) }
        var members: [(JSONText, JSONValue)] = [("place", .string(place)), ("trials", .integer(trials))]
        for row in rows {
            var object: [(JSONText, JSONValue)] = [
                ("samples", .integer(row.count)), ("p50", rounded(row.p50)), ("p95", rounded(row.p95)),
                ("p99", rounded(row.p99)),
            ]
            if let goal = row.measure.goal { object.append(("goal_p95", .number(goal))) }
            members.append((row.measure.key, .object(JSONObject(object))))
        }
        members += counts.map { (JSONText("messages_\($0.name)"), .integer($0.count)) }
        return .object(JSONObject(members))
    }

    /// For people.
    func table(style: TerminalStyle) -> String {
        let width = 36
        func row(_ name: String, _ values: [String]) -> String {
            "  " + name + String(repeating: " ", count: max(0, width - name.count))
                + values.map { String(repeating: " ", count: max(0, 10 - $0.count)) + $0 }.joined()
        }
        let line = "  " + String(repeating: "─", count: width + 50)
        var lines = ["", style.bold(row("\(place), ms", ["p50", "p95", "p99", "samples", "goal"])), line]
        for entry in rows {
            let goal = entry.measure.goal.map { "≤ \(grouped(Int($0)))" } ?? ""
            let values = [entry.p50, entry.p95, entry.p99].map { grouped(Int($0.rounded())) }
            let text = row(entry.measure.rawValue, values + ["\(entry.count)", goal])
            lines.append(entry.measure.goal.map { entry.p95 > $0 ? style(text, .yellow) : text } ?? text)
        }
        lines.append(line)
        for (name, count) in counts {
            let text = row("messages \(name)", [grouped(count)])
            lines.append(name == "sent" ? text : style(text, count == 0 ? .green : .red))
        }
        lines.append("")
        return lines.joined(separator: "\n")
    }
}
