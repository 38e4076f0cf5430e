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
    var messages = MessageTally()
    var trials = 0
    let place: String

    init(place: String) { self.place = place }

    mutating func add(_ measure: Measure, _ duration: Duration) {
        samples[measure, default: []].append(max(.zero, duration))
    }

    /// Takes in what another trial measured.
    mutating func add(_ other: ReliabilityFigures) {
        samples.merge(other.samples) { $0 + $1 }
        messages.add(other.messages)
        trials += 1
    }

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
        members += messages.counts.map { (JSONText("messages_\($0.name)"), .integer($0.count)) }
        return .object(JSONObject(members))
    }

    /// For people.
    func table(style: TerminalStyle) -> String {
        let table = FigureTable(width: 36, column: 10, columns: 5, style: style)
        var lines = ["", style.bold(table.row("\(place), ms", ["p50", "p95", "p99", "samples", "goal"])), table.line]
        for entry in rows {
            let goal = entry.measure.goal.map { "≤ \(grouped(Int($0)))" } ?? ""
            let values = [entry.p50, entry.p95, entry.p99].map { grouped(Int($0.rounded())) }
            let text = table.row(entry.measure.rawValue, values + ["\(entry.count)", goal])
            lines.append(entry.measure.goal.map { entry.p95 > $0 ? style(text, .yellow) : text } ?? text)
        }
        lines += [table.line] + messages.rows(of: table) + [""]
        return lines.joined(separator: "\n")
    }
}
