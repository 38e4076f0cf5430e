import ArgumentParser
import Glibc
import JSON
import SwarmEngine
import SwarmSpace
import SwarmTransport

/// `swarm-space id`: shows the identity of a data directory, and makes it when there is none.
struct IDCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "id",
        abstract: "Show or make an identity.",
        discussion: """
            An identity is a key pair in the format of GUN's SEA, kept in identity.json of a data directory, readable by \
            its owner only. What is printed is the public half, by which other members know this one. \
            'join --data' with the same directory uses it.

            EXAMPLES
              swarm-space id --data alice
              swarm-space join meadow --data alice --relay wss://node.example.org/gun
            """)

    @Option(
        help: ArgumentHelp(
            "The data directory. (default: swarm-space in $XDG_DATA_HOME or ~/.local/share)", valueName: "directory"))
    var data: String?

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        if data?.isEmpty == true { throw ValidationError("--data: give a directory") }
    }

    func run() async throws {
        guard let path = data ?? Self.standardPath else {
            throw CommandFailure(.usage, "there is no home directory: give one with --data")
        }
        let (kept, file) = try Self.open(path)
        let peerID = kept.identity.peerID.description
        let output = ConsoleOutput()
        if json {
            let event: JSONValue = ["event": "identity", "self": .string(peerID), "data": .string(path)]
            output.line(event.serialized())
        } else {
            output.line(peerID)
            if isatty(STDOUT_FILENO) == 1 {
                output.note(
                    "\(kept.wasMade ? "made, and kept" : "kept") in \(file): join as it with --data \(path)")
            }
        }
        output.flush()
    }

    private static func open(_ path: String) throws(CommandFailure) -> (kept: KeptIdentity, file: String) {
        do {
            let directory = try DataDirectory(path: path)
            return (try KeptIdentity(in: directory), directory.identityPath)
        } catch let error as FileError {
            throw CommandFailure(.inputOutput, "\(error): choose another directory with --data")
        } catch {
            throw CommandFailure(.inputOutput, "\(error)")
        }
    }

    /// Where programs keep what is theirs for a user (XDG Base Directory Specification).
    private static var standardPath: String? {
        if let path = environment("XDG_DATA_HOME"), path.hasPrefix("/") { return path + "/swarm-space" }
        return environment("HOME").map { $0 + "/.local/share/swarm-space" }
    }

    private static func environment(_ name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        let text = unsafe String(cString: value)
        return text.isEmpty ? nil : text
    }
}
