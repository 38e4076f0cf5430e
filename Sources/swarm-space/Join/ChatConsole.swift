import Glibc
import SwarmBase
import SwarmEngine
import SwarmSpace

/// A conversation in a terminal.
actor ChatConsole: JoinConsole {
    private let swarm: Swarm
    private let output: ConsoleOutput
    private let name: String
    private let swarmName: String?
    private let style = TerminalStyle.standardOutput
    /// A prompt makes sense only where somebody types.
    private let hasPrompt: Bool
    private var names: [PeerID: String] = [:]
    private var paths: [PeerID: PathKind] = [:]

    init(swarm: Swarm, output: ConsoleOutput, name: String, swarmName: String?) {
        self.swarm = swarm
        self.output = output
        self.name = name
        self.swarmName = swarmName
        hasPrompt = style.isTerminal && isatty(STDIN_FILENO) == 1
    }

    func begin() {
        let title = swarmName.map { printable($0) } ?? "\(swarm.infoHash)"
        let myself = name.isEmpty ? swarm.peerID.short : "\(printable(name)) (\(swarm.peerID.short))"
        say(style.bold("swarm \(title)") + ", you are \(myself)")
        let sites = [(swarm.trackers.count, "tracker"), (swarm.relays.count, "relay")].filter { $0.0 > 0 }
        let through = sites.map { "\($0.0) \($0.1)\($0.0 == 1 ? "" : "s")" }.joined(separator: " and ")
        note("looking for others through \(through); /help says what you can type")
    }

    func report(_ event: SwarmEvent) {
        switch event {
        case .peer(let peer, let name, let path):
            names[peer] = printable(name)
            paths[peer] = path
            note("\(label(peer)) is here", path)
        case .path(let peer, let path, let rtt):
            paths[peer] = path
            note("\(label(peer)) moved", path, rtt.map { ", \(milliseconds($0))" } ?? "")
        case .away(let peer):
            guard paths.removeValue(forKey: peer) != nil else { break }
            note("\(label(peer)) is away")
        case .left(let peer):
            guard paths.removeValue(forKey: peer) != nil else { break }
            note("\(label(peer)) left")
        case .message(let peer, let content, let path, _):
            say("\(style.bold(label(peer))) \(tag(path)) \(text(of: content))")
        case .warning(let message):
            note(printable(message))
        case .stored(let peer, _):
            note("\(label(peer)) is away, and will find it waiting")
        case .expired(let peer, _): note("a message to \(label(peer)) came too late")
        case .rejected(let peer, _, _): note("\(label(peer)) does not take messages of yours")
        case .discovered, .delivered, .state:
            break
        }
    }

    func take(_ line: ConsoleInput.Line) async -> Bool {
        defer { prompt() }
        guard case .bytes(let bytes) = line else {
            note("that line is too long")
            return true
        }
        let text = String(decoding: bytes, as: UTF8.self)
        if text.hasPrefix("//") {
            await broadcast(String(text.dropFirst()))
        } else if text.hasPrefix("/") {
            return await perform(text)
        } else if !text.allSatisfy(\.isWhitespace) {
            await broadcast(text)
        }
        return true
    }

    /// At a terminal, Ctrl-D means good-bye; a pipe that ends has just said all it had to say.
    func inputEnded() -> Bool { !hasPrompt }

    func stillTrying(_ reason: String) { note("nothing can be reached yet, still trying: \(printable(reason))") }

    func end() {
        if hasPrompt { output.text("\r\u{1b}[K") }
    }

    // MARK: Commands

    private func perform(_ line: String) async -> Bool {
        let words = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: true)
        switch words.first {
        case "/quit", "/q", "/exit": return false
        case "/peers", "/who": await listPeers()
        case "/to", "/msg":
            guard words.count == 3 else {
                note("/to NAME TEXT")
                break
            }
            await send(String(words[2]), to: words[1])
        case "/help", "/?":
            for help in [
                "TEXT             to everybody", "/to NAME TEXT    to one",
                "/peers           who is here, and by which path",
                "/quit            leave", "//TEXT           a text that begins with a slash",
            ] { note(help) }
        default: note("no such command; /help lists them")
        }
        return true
    }

    private func listPeers() async {
        let peers = await swarm.peers
        if peers.isEmpty { return note("nobody else is here yet") }
        for peer in peers {
            names[peer.id] = printable(peer.name)
            paths[peer.id] = peer.path
        }
        let width = peers.map { label($0.id).count }.max() ?? 0
        for peer in peers {
            let padded = label(peer.id) + String(repeating: " ", count: width - label(peer.id).count)
            say("  \(style.bold(padded))  \(tag(peer.path))  \(style(peer.id.short, .grey))")
        }
    }

    private func send(_ text: String, to word: Substring) async {
        let found = paths.keys.filter { peer in
            label(peer) == word || names[peer].map { $0.lowercased() == word.lowercased() } == true
                || (word.count >= 4 && peer.description.hasPrefix(word))
        }
        guard let peer = found.first, found.count == 1 else {
            return note(
                found.isEmpty
                    ? "\(word) is not here; /peers lists who is" : "more than one is called \(word): see /peers")
        }
        await attempt { try await self.swarm.send(text, to: peer) }
    }

    private func broadcast(_ text: String) async {
        await attempt {
            if try await self.swarm.broadcast(text).isEmpty { self.note("nobody else is here yet: not sent") }
        }
    }

    private func attempt(_ action: () async throws -> Void) async {
        do { try await action() } catch { note("not sent: \(error)") }
    }

    // MARK: What is seen

    /// A member's name, with the beginning of its id when it has none or shares it.
    private func label(_ peer: PeerID) -> String {
        guard let name = names[peer], !name.isEmpty else { return peer.short }
        let isShared = name == self.name || paths.keys.contains { $0 != peer && names[$0] == name }
        return isShared ? "\(name)~\(peer.description.prefix(4))" : name
    }

    private func tag(_ path: PathKind) -> String {
        style("[\(path.rawValue)]", path == .direct ? .green : .yellow)
    }

    private func text(of content: MessageContent) -> String {
        switch content {
        case .text(let text):
            // Further lines are set in, so that nobody can write a line that seems to be another's.
            text.split(separator: "\n", omittingEmptySubsequences: false).map { printable(String($0)) }
                .joined(separator: "\n    ")
        case .binary(let bytes):
            style("(\(bytes.count) bytes)", .grey)
        }
    }

    private func milliseconds(_ duration: Duration) -> String {
        let tenths = Int((duration.milliseconds * 10).rounded())
        return tenths < 100 ? "\(tenths / 10).\(tenths % 10) ms" : "\((tenths + 5) / 10) ms"
    }

    private func note(_ text: String, _ path: PathKind? = nil, _ rest: String = "") {
        say(style("· \(text)", .grey) + (path.map { " \(tag($0))" } ?? "") + style(rest, .grey))
    }

    private func say(_ line: String) {
        // The prompt gives way, and comes back below.
        output.line(hasPrompt ? "\r\u{1b}[K\(line)" : line)
        prompt()
    }

    private func prompt() {
        if hasPrompt { output.text("\r\u{1b}[K> ") }
    }
}
