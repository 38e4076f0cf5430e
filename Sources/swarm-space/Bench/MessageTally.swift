/// What became of messages that were numbered from 1 as they were said.
struct MessageTally: Sendable {
    private(set) var sent = 0
    private(set) var lost = 0
    private(set) var duplicated = 0
    private(set) var reordered = 0

    /// Whether every message came once and in order.
    var isPerfect: Bool { lost == 0 && duplicated == 0 && reordered == 0 }

    /// Counts the messages from one member to another.
    ///
    /// - Parameters:
    ///   - count: how many were said.
    ///   - numbers: which came, in the order in which they did.
    mutating func add(sent count: Int, received numbers: [Int]) {
        sent += count
        var seen: Set<Int> = []
        var highest = 0
        for number in numbers {
            if !seen.insert(number).inserted {
                duplicated += 1
            } else if number < highest {
                reordered += 1
            }
            highest = max(highest, number)
        }
        lost += (0..<count).count { !seen.contains($0 + 1) }
    }

    mutating func add(_ other: MessageTally) {
        sent += other.sent
        lost += other.lost
        duplicated += other.duplicated
        reordered += other.reordered
    }

    /// In the order in which they are shown.
    var counts: [(name: String, count: Int)] {
        [("sent", sent), ("lost", lost), ("duplicated", duplicated), ("reordered", reordered)]
    }

    /// Its lines of a table.
    func rows(of table: FigureTable) -> [String] {
        counts.map { name, count in
            let row = table.row("messages \(name)", [grouped(count)])
            return name == "sent" ? row : table.style(row, count == 0 ? .green : .red)
        }
    }
}
