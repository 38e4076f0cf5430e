import Gun
import JSON
import Logging
import NIOCore
import NIOPosix
import SEA
import SwarmBase

/// The graph that members of a swarm share, or one that is reached through relays alone: GUN's, read and written in
/// Swift.
///
/// What is written is merged key by key; whoever has heard the same writes holds the same, in whatever order they came.
/// Writes made while nobody can be reached are kept, in the data directory if there is one, and go out by themselves.
public struct Graph: Sendable {
    let host: GraphHost

    /// A node, by its soul.
    public subscript(soul: String) -> GraphReference { GraphReference(host: host, root: soul) }

    /// The node of a user, by its public key. Only what the user has signed, or allowed others to write, is read there.
    public func user(_ publicKey: String) -> GraphReference { GraphReference(host: host, root: "~" + publicKey) }

    /// This member's own node, whose values its identity signs; `nil` for a graph that is reached through relays alone.
    public func own() async throws(GraphError) -> GraphReference? { try await host.ownPair().map { user($0.pub) } }

    /// Connects to a graph through relays, without a swarm.
    ///
    /// It does not wait until a relay answers: reading does, and what is written waits.
    ///
    /// - Parameters:
    ///   - relays: `ws:`, `wss:`, `http:` or `https:` URLs of GUN relays.
    ///   - dataDirectory: where the graph is kept; `nil` keeps nothing.
    public static func connect(
        relays: [String], dataDirectory: String? = nil
    ) async throws(GraphError) -> Graph {
        let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
        let host = GraphHost(eventLoop: eventLoop)
        try await RelayGraph.open(host, on: eventLoop, relays: relays, dataDirectory: dataDirectory)
        return Graph(host: host)
    }

    /// Ends a graph that ``connect(relays:dataDirectory:)`` made; that of a swarm ends with it.
    public func close() async { await host.close() }

    // MARK: Users

    /// Makes an account: a new pair, its private keys sealed under the passphrase in the graph.
    ///
    /// - Parameter alias: the name it is found by; others may take the same.
    public func create(alias: String, passphrase: String) async throws(GraphError) -> GraphUser {
        guard let aliasSoul = Soul(Account.aliasSoul(JSONText(alias))), !alias.isEmpty else { throw .invalidName }
        var entropy = Entropy.system
        let pair = SEAPair.generate(using: &entropy)
        guard let soul = Soul("~" + pair.pub), let link = Key("~" + pair.pub) else { throw .invalidName }
        let keys: [Key] = ["pub", "alias", "auth", "epub"]
        // Stretching the passphrase is not for the graph's own thread.
        let sealed = Account.seal(pair, passphrase: passphrase, using: &entropy)
        try await host.write(keys.map { (soul, $0) } + [(aliasSoul, link)]) { state, _ in
            Account.records(alias: JSONText(alias), pair: pair, auth: sealed, state: state)?.compactMap { record in
                guard let soul = Soul(record.soul), let key = Key(record.key), let value = GunValue(record.value) else {
                    return nil
                }
                return GunRecord(soul: soul, key: key, value: value, state: state)
            } ?? []
        }
        return GraphUser(host: host, pair: pair, alias: alias)
    }

    /// Signs in: opens the account of that alias that the passphrase fits.
    public func auth(alias: String, passphrase: String) async throws(GraphError) -> GraphUser {
        guard !alias.isEmpty, let aliasSoul = Soul(Account.aliasSoul(JSONText(alias))) else { throw .invalidName }
        let accounts = try await host.records(of: aliasSoul, within: GraphReference.patience)
        // Anybody may add to an alias: so many are tried, the oldest first.
        for record in accounts.sorted(by: { $0.state < $1.state }).prefix(64) {
            guard case .link(let soul) = record.content, let pub = UserSoul.owner(of: soul.text) else { continue }
            let path = GraphHost.Path(soul: soul, keys: ["auth"])
            guard let auth = try await host.record(path, within: GraphReference.patience)?.content else { continue }
            if let pair = Account.unlock(auth.json, pub: pub, passphrase: passphrase) {
                return GraphUser(host: host, pair: pair, alias: alias)
            }
        }
        throw .wrongPassphrase
    }
}

/// A user who is signed in: writes into its own nodes.
public struct GraphUser: Sendable {
    private let host: GraphHost
    private let pair: SEAPair
    /// The name the account is found by.
    public let alias: String

    init(host: GraphHost, pair: SEAPair, alias: String) {
        self.host = host
        self.pair = pair
        self.alias = alias
    }

    /// Who it is: others read its node by this.
    public var publicKey: String { pair.pub }

    /// A key of the user's own node; what is written below it is signed.
    public subscript(key: String) -> GraphReference {
        GraphReference(host: host, root: "~" + pair.pub, signer: pair)[key]
    }

    /// A place of somebody else's, written with a certificate that its owner gave this user.
    public func writing(to other: GraphReference, certificate: String) -> GraphReference {
        var reference = other.with(certificate: certificate)
        reference.signer = pair
        return reference
    }

    /// Lets others write into this user's nodes.
    ///
    /// - Parameters:
    ///   - publicKeys: who; `nil` is everybody.
    ///   - prefix: what path and key must begin with, such as `inbox`.
    ///   - expiry: milliseconds since 1970 of the last write that is good; `nil` for ever.
    /// - Returns: the certificate, to be given to those it is for.
    public func certify(_ publicKeys: [String]?, prefix: String, until expiry: Double? = nil) -> String {
        let holders = publicKeys.map { Certificate.Holders.keys($0) } ?? .everybody
        let certificate = Certificate(for: holders, write: ["*": .string(prefix)], expiry: expiry)
        return pair.certify(certificate).string
    }
}
