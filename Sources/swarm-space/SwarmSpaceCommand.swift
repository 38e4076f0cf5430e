import ArgumentParser

/// The program: each subcommand has a folder of its own.
@main
struct SwarmSpaceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "swarm-space",
        abstract: "Peer-to-peer connectivity that keeps working.",
        subcommands: [PairCommand.self])
}
