// The drawing board's native side: draws a spiral for all to see, and tells what others draw. swift run board INVITE
import SwarmSpace

@main struct Board {
    /// The node of the graph that holds the drawing: each key a stroke, "colour x,y x,y …" on a board of 1000 by 1000.
    static let soul = "drawing-board"

    static func main() async throws {
        guard let invite = CommandLine.arguments.dropFirst().first else { return print("usage: board INVITE") }
        var configuration = SwarmConfiguration()
        configuration.name = "spiral"
        let swarm = try await Swarm.join(Invite(invite), configuration: configuration)
        try await swarm.watch(soul: soul)
        let drawing = Task {
            var points: [String] = []
            // A circle whose radius grows: each turn of the point by (cos 0.2, sin 0.2).
            var (x, y) = (20.0, 0.0)
            for _ in 0..<180 {
                (x, y) = ((x * 0.98007 - y * 0.19867) * 1.016, (x * 0.19867 + y * 0.98007) * 1.016)
                points.append("\(Int(500 + x)),\(Int(500 + y))")
                try await swarm.put(
                    soul: soul, key: "spiral", value: .string("#b42360 " + points.joined(separator: " ")))
                try await Task.sleep(for: .milliseconds(100))
            }
        }
        for await event in swarm.events {
            guard case .state(soul, let stroke, let value) = event, let text = value.text?.string else { continue }
            print("\(stroke): \(text.split(separator: " ").count - 1) points")
        }
        drawing.cancel()
    }
}
