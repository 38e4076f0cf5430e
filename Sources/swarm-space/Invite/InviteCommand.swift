import ArgumentParser
import Glibc
import Magnet
import SwarmEngine
import SwarmSpace
import SwarmTransport

/// `swarm-space invite`: the magnet link by which others join.
struct InviteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "invite",
        abstract: "Print the magnet link by which others join a swarm.",
        discussion: """
            The link holds the swarm's infohash, its name, and where to look for members. It never holds the secret: \
            tell that to the others some other way.

            EXAMPLES
              swarm-space invite meadow --tracker wss://node.example.org/ \\
                --relay wss://node.example.org/gun
              swarm-space invite meadow --secret "correct horse" \\
                --relay wss://node.example.org/gun
            """)

    @Argument(help: "The swarm's name: everybody who uses the same name (and secret) meets.")
    var name: String

    @Option(help: "The passphrase of a private swarm.")
    var secret: String?

    @Option(help: ArgumentHelp("A WebTorrent tracker. May be repeated.", valueName: "url"))
    var tracker: [String] = []

    @Option(help: ArgumentHelp("A GUN relay. May be repeated.", valueName: "url"))
    var relay: [String] = []

    func validate() throws {
        if name.isEmpty { throw ValidationError("give the swarm a name") }
        // `join` takes whatever begins like this for a link.
        if name.prefix(7).lowercased() == "magnet:" {
            throw ValidationError("this is a magnet link already: join by it")
        }
        if secret?.isEmpty == true { throw ValidationError("--secret: leave it out, or give one") }
        for url in tracker where TrackerLocation(url) == nil {
            throw ValidationError("--tracker \(url): give its URL, such as wss://node.example.org/")
        }
        for url in relay where WebSocketURL(url) == nil {
            throw ValidationError("--relay \(url): give the URL of a GUN relay, such as wss://node.example.org/gun")
        }
        for (option, count) in [("--tracker", tracker.count), ("--relay", relay.count)]
        where count > MagnetLink.maximumEntries {
            throw ValidationError("\(option): a link holds \(MagnetLink.maximumEntries) at most")
        }
    }

    func run() async throws {
        var link = MagnetLink(infoHash: Topic(name: name, secret: secret).infoHash)
        link.displayName = name
        link.trackers = tracker
        link.gunRelays = relay
        let text = link.description
        guard text.utf8.count <= MagnetLink.maximumByteCount else {
            throw CommandFailure(.usage, "the link would be too long: use a shorter name, or fewer URLs")
        }
        let output = ConsoleOutput()
        output.line(text)
        if isatty(STDOUT_FILENO) == 1 { output.note(advice(link: text)) }
        output.flush()
    }

    private func advice(link: String) -> String {
        var lines = ["", "Whoever has the link joins with:", "  swarm-space join '\(link)'"]
        if secret != nil {
            lines[2] += " --secret SECRET"
            lines.append("The secret is not in the link: tell it to the others some other way.")
        }
        if tracker.isEmpty, relay.isEmpty {
            lines.append(
                "The link names no tracker and no relay, so they must add --tracker or --relay to find each other.")
        }
        return lines.joined(separator: "\n")
    }
}
