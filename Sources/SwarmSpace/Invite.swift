import Magnet
import SwarmEngine
import SwarmTransport

/// What one needs to join a swarm: a magnet link or a plain name, and the passphrase of a private swarm.
public struct Invite: Sendable {
    private enum Target: Sendable {
        case name(String)
        case infoHash(InfoHash)
    }

    private let target: Target
    private let secret: String?
    /// What the swarm is called, if that is known.
    public let name: String?
    /// The trackers that the link names and this node can speak to.
    public let trackers: [String]
    /// The GUN relays that the link names.
    public let relays: [String]

    /// Reads a magnet link, or takes any other text as the name of a swarm: everybody who uses the same name meets.
    ///
    /// - Parameter secret: the passphrase of a private swarm. A link never holds it.
    public init(_ text: String, secret: String? = nil) throws(SwarmError) {
        if secret?.isEmpty == true {
            throw SwarmError(.invalidInvite, "the secret is empty: leave it out, or give one")
        }
        self.secret = secret
        guard text.prefix(7).lowercased() == "magnet:" else {
            guard !text.isEmpty else { throw SwarmError(.invalidInvite, "give a magnet link or the name of a swarm") }
            target = .name(text)
            name = text
            trackers = []
            relays = []
            return
        }
        let link: MagnetLink
        do { link = try MagnetLink(parsing: text) } catch {
            throw SwarmError(.invalidInvite, "this is no magnet link of a swarm (\(error)): copy it whole")
        }
        guard let infoHash = link.swarmHash else {
            throw SwarmError(.invalidInvite, "this magnet link names no infohash: ask for one with xt=urn:btih:")
        }
        target = .infoHash(infoHash)
        name = link.displayName
        trackers = link.trackers.filter { TrackerLocation($0) != nil }
        relays = link.gunRelays.filter { WebSocketURL($0) != nil }
    }

    /// What the members share. With a secret it takes some 0.2 s of work.
    var topic: Topic {
        switch target {
        case .name(let name): Topic(name: name, secret: secret)
        case .infoHash(let infoHash): Topic(infoHash: infoHash, secret: secret)
        }
    }
}
