import Foundation

/// The figures as a picture (SVG 1.1): for each measure a bar to the median, a thinner one on to the 95th percentile and a tick at the 99th, on
/// a logarithmic scale of milliseconds.
struct ReliabilityChart {
    let figures: [ReliabilityFigures]

    private static let colours = ["#2563eb", "#d97706"]
    private static let left = 270.0
    private static let plot = 560.0
    private static let decades = 4.0  // 1 ms to 10 s

    var svg: String {
        let measures = ReliabilityFigures.Measure.allCases.filter { measure in
            figures.contains { $0.samples[measure] != nil }
        }
        let step = 16.0 * Double(figures.count) + 16
        let height = 76 + step * Double(measures.count)
        var lines = [
            """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 \(Int(height))" role="img" font-family="system-ui, sans-serif" font-size="13">
            <title>Reliability: how long paths are missed, in milliseconds</title>
            <rect width="100%" height="100%" fill="#ffffff"/>
            """
        ]
        for (index, place) in figures.enumerated() {
            let y = 18
            let x = 20 + index * 300
            lines.append(##"<rect x="\##(x)" y="\##(y - 10)" width="12" height="12" fill="\##(colour(index))"/>"##)
            lines.append(
                ##"<text x="\##(x + 18)" y="\##(y)" fill="#111827">\##(place.place), \##(place.trials) trials</text>"##)
        }
        for decade in 0...Int(Self.decades) {
            let x = Self.left + Self.plot * Double(decade) / Self.decades
            let label = ["1 ms", "10 ms", "100 ms", "1 s", "10 s"][decade]
            lines.append(
                ##"<line x1="\##(number(x))" y1="34" x2="\##(number(x))" y2="\##(number(height - 30))" stroke="#e5e7eb"/>"##
            )
            lines.append(
                ##"<text x="\##(number(x))" y="\##(number(height - 12))" text-anchor="middle" fill="#4b5563">\##(label)</text>"##
            )
        }
        for (row, measure) in measures.enumerated() {
            let top = 44 + step * Double(row)
            lines.append(
                ##"<text x="\##(number(Self.left - 12))" y="\##(number(top + step / 2 - 4))" text-anchor="end" fill="#111827">\##(measure.rawValue)</text>"##
            )
            for (index, place) in figures.enumerated() {
                guard let entry = place.rows.first(where: { $0.measure == measure }) else { continue }
                lines.append(bar(entry.p50, entry.p95, entry.p99, y: top + 16 * Double(index), colour: colour(index)))
            }
            if let goal = measure.goal {
                lines.append(
                    ##"<line x1="\##(number(x(goal)))" y1="\##(number(top - 3))" x2="\##(number(x(goal)))" y2="\##(number(top + step - 13))" stroke="#dc2626" stroke-dasharray="3 2"/>"##
                )
            }
        }
        lines.append(
            ##"<text x="\##(number(Self.left + Self.plot))" y="18" text-anchor="end" fill="#4b5563">bar: median, line: 95 of 100, tick: 99 of 100; red: goal for 95 of 100</text>"##
        )
        lines.append("</svg>\n")
        return lines.joined(separator: "\n")
    }

    private func bar(_ p50: Double, _ p95: Double, _ p99: Double, y: Double, colour: String) -> String {
        let (a, b, c) = (x(p50), x(p95), x(p99))
        return """
            <rect x="\(number(Self.left))" y="\(number(y))" width="\(number(a - Self.left))" height="12" fill="\(colour)"/>
            <line x1="\(number(a))" y1="\(number(y + 6))" x2="\(number(b))" y2="\(number(y + 6))" stroke="\(colour)" stroke-width="4"/>
            <line x1="\(number(c))" y1="\(number(y + 1))" x2="\(number(c))" y2="\(number(y + 11))" stroke="\(colour)" stroke-width="2"/>
            <text x="\(number(max(b, c) + 6))" y="\(number(y + 11))" fill="#374151" font-size="11">\(grouped(Int(p50.rounded()))) / \(grouped(Int(p95.rounded())))</text>
            """
    }

    /// Where so many milliseconds are.
    private func x(_ milliseconds: Double) -> Double {
        Self.left + Self.plot * min(max(log10(max(milliseconds, 1)) / Self.decades, 0), 1)
    }

    private func colour(_ index: Int) -> String { Self.colours[index % Self.colours.count] }

    private func number(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
}
