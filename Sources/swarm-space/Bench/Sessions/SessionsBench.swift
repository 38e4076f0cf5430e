import ArgumentParser
import JSON

/// `swarm-space bench sessions`: what messages between two members cost, without the kernel.
struct SessionsBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sessions",
        abstract: "Throughput of sessions, in memory: directly, and sealed through a relay.",
        discussion: """
            Two whole members run on one core, back to back, without sockets, disk or waiting: the figures are what both ends cost \
            together. On the relay path the relay's own part is left out.

            EXAMPLES
              swarm-space bench sessions
              swarm-space bench sessions --only relay --size 16384 --messages 2000
            """)

    @Option(help: "Measure this path only: relay or direct.")
    var only: MemberPair.Way?

    @Option(help: ArgumentHelp("Measure messages of this size only; 100 and 16384 otherwise.", valueName: "bytes"))
    var size: Int?

    @Option(help: "How many messages; as many as are 64 MiB, and at most 200000, otherwise.")
    var messages: Int?

    @Flag(help: "Print one JSON object for each measurement.")
    var json = false

    func validate() throws {
        guard size.map({ (1...1_048_576).contains($0) }) ?? true else {
            throw ValidationError("--size: give 1 to 1048576 bytes")
        }
        guard messages.map({ (1...100_000_000).contains($0) }) ?? true else {
            throw ValidationError("--messages: give 1 to 100000000")
        }
    }

    func run() throws {
        let output = ConsoleOutput()
        defer { output.flush() }
        if !json { output.line("path          bytes   messages/s       MB/s    (both ends on one core)") }
        for way in only.map({ [$0] }) ?? MemberPair.Way.allCases {
            let pair = try MemberPair.make(way)
            for size in size.map({ [$0] }) ?? [100, 16_384] {
                let count = messages ?? min(200_000, (64 << 20) / size)
                // What is only so at the beginning is not measured: windows, estimates, the allocator.
                _ = try pair.transfer(messages: max(1, count / 20), size: size)
                let cost = try pair.transfer(messages: count, size: size)
                output.line(json ? figures(cost, count, size).serialized() : Array(line(cost, count, size).utf8))
            }
        }
    }

    private func line(_ cost: LayerCost, _ messages: Int, _ size: Int) -> String {
        let seconds = Double(max(1, cost.nanoseconds)) / 1e9
        let rate = String(Int((Double(messages) / seconds).rounded()))
        let megabytes = String(Int((Double(cost.bytes) / seconds / 1e6).rounded()))
        return pad(cost.name, 8) + right(String(size), 11) + right(rate, 13) + right(megabytes, 11)
    }

    private func figures(_ cost: LayerCost, _ messages: Int, _ size: Int) -> JSONValue {
        let seconds = Double(max(1, cost.nanoseconds)) / 1e9
        return [
            "path": .string(cost.name), "bytes": .number(Double(size)), "messages": .number(Double(messages)),
            "messages_per_s": .number((Double(messages) / seconds).rounded()),
            "mb_per_s": .number((Double(cost.bytes) / seconds / 1e5).rounded() / 10),
            "packets": .number(Double(cost.packets)),
        ]
    }
}

extension MemberPair.Way: ExpressibleByArgument {}
