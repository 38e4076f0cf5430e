import ArgumentParser

/// `swarm-space bench`: what this machine gets out of it.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure speed and cost on this machine.",
        discussion: """
            Build with optimisation first (swift build -c release): a debug build is some 30 times slower, and says so.

            EXAMPLES
              swarm-space bench reliability
              swarm-space bench webrtc
              swarm-space bench layers
              swarm-space bench sessions
              swarm-space bench relay
              swarm-space bench tracker ws://other.example.org:8000/
            """,
        subcommands: [
            ReliabilityBench.self, WebRTCBench.self, RelayBench.self, TrackerBench.self, LayersBench.self,
            SessionsBench.self, IdlePeersCommand.self,
        ])
}
