import ArgumentParser
import JSON

/// `swarm-space bench layers`: what each layer costs, without the kernel.
struct LayersBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "layers",
        abstract: "Processor time of each layer of a peer connection, in memory.",
        discussion: """
            Both ends run on one core, back to back, without sockets and on virtual time: nothing waits, so the figures \
            are what the code costs. The work is the same in every run, which makes it fit for counting instructions.

            EXAMPLES
              swarm-space bench layers
              swarm-space bench layers --only sctp --megabytes 64
            """)

    enum Layer: String, CaseIterable, ExpressibleByArgument {
        case sctp, dtls, connection
    }

    @Option(help: "Measure this layer only: sctp, dtls or connection.")
    var only: Layer?

    @Option(help: "How much each layer carries.")
    var megabytes = 128

    @Option(help: ArgumentHelp("The size of a message.", valueName: "bytes"))
    var size = 16_384

    @Flag(help: "Print one JSON object for each layer.")
    var json = false

    func validate() throws {
        guard (1...65_536).contains(megabytes) else { throw ValidationError("--megabytes: give 1 to 65536") }
        guard (1...262_144).contains(size) else { throw ValidationError("--size: give 1 to 262144 bytes") }
    }

    func run() throws {
        let output = ConsoleOutput()
        defer { output.flush() }
        if !json { output.line("layer               ns/packet     Mbit/s    (both ends on one core)") }
        for layer in only.map({ [$0] }) ?? Layer.allCases {
            let cost = try layer.cost(megabytes: megabytes, messageSize: size)
            output.line(json ? cost.json.serialized() : Array(line(cost).utf8))
        }
    }

    private func line(_ cost: LayerCost) -> String {
        let figures = [cost.nanosecondsPerPacket, cost.megabitsPerSecond]
        return pad(cost.name, 18) + figures.map { right(String(Int($0.rounded())), 11) }.joined()
    }
}

extension LayersBench.Layer {
    /// Carries so much through the layer.
    func cost(megabytes: Int, messageSize: Int) throws -> LayerCost {
        let bytes = megabytes << 20
        switch self {
        case .sctp:
            var pair = try AssociationPair.make()
            return try pair.transfer(bytes: bytes, messageSize: messageSize)
        case .dtls:
            var pair = try SessionPair.make()
            let record = 1160
            return try pair.transfer(records: bytes / record, size: record)
        case .connection:
            var pair = try ConnectionPair.make()
            return try pair.transfer(bytes: bytes, messageSize: messageSize)
        }
    }
}
