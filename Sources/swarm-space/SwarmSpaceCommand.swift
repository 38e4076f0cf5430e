import ArgumentParser
import Dispatch
import Glibc

/// The program: each subcommand has a folder of its own.
@main
struct SwarmSpaceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "swarm-space",
        abstract: "Peer-to-peer connectivity that keeps working.",
        discussion: """
            Everybody who joins a swarm by the same magnet link, or by the same name and secret, can talk to everybody \
            else in it, whatever network each is in: directly where that is possible, through relays, end-to-end \
            encrypted, where it is not.

            EXAMPLES
              swarm-space demo                    a swarm forms, fails, recovers
              swarm-space serve                   help others meet
              swarm-space invite NAME --tracker URL --relay URL
              swarm-space join LINK               join by the link, and chat
            """,
        subcommands: [
            JoinCommand.self, DemoCommand.self, ServeCommand.self, InviteCommand.self, IDCommand.self, PairCommand.self,
            BenchCommand.self,
        ])

    /// Runs the program. Errors are one line on standard error; the status says of which kind they are.
    ///
    /// A command that waits for nothing runs here and now, from beginning to end on the main thread: valgrind, which counts the
    /// instructions of `bench layers`, does not survive that this thread ends in `dispatchMain`, as it does for the others.
    static func main() {
        do {
            var command = try parseAsRoot()
            if let waiting = command as? any AsyncParsableCommand {
                start(waiting)
                dispatchMain()
            }
            try command.run()
        } catch {
            end(error)
        }
    }

    private static func start(_ command: sending any AsyncParsableCommand) {
        var command = command
        Task {
            do {
                try await command.run()
                Glibc.exit(0)
            } catch {
                end(error)
            }
        }
    }

    private static func end(_ error: any Error) -> Never {
        if let failure = error as? CommandFailure { end(failure) }
        guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
        let problem = message(for: error).split(separator: "\n").joined(separator: " ")
        let name = CommandLine.arguments.dropFirst().first.flatMap { argument in
            configuration.subcommands.first { $0._commandName == argument }.map { " \($0._commandName)" }
        }
        end(CommandFailure(.usage, "\(problem) (see 'swarm-space\(name ?? "") --help')"))
    }

    private static func end(_ failure: CommandFailure) -> Never {
        let output = ConsoleOutput()
        output.note("swarm-space: \(failure.message)")
        output.flush()
        Glibc.exit(failure.status.rawValue)
    }
}
