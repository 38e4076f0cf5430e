/// Why the graph could not be read or written.
public enum GraphError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A soul or a key is empty, or a key is `_`.
    case invalidName
    /// A value is not finite, an array, or cannot be encoded; the text says what.
    case invalidValue(String)
    /// A soul, key or value is longer than peers take (4 KiB and 64 KiB).
    case tooLarge
    /// The node belongs to somebody else, who has not allowed it; the text says what the rule found.
    case notAllowed(String)
    /// What is stored there does not decode as the type asked for.
    case mismatch(String)
    /// No account of that alias opens with that passphrase.
    case wrongPassphrase
    /// The data directory cannot be used; the text says why.
    case storage(String)
    /// A relay's URL is none.
    case invalidRelay(String)
    /// The swarm has been left, or the graph closed.
    case closed

    public var description: String {
        switch self {
        case .invalidName: "a soul and a key are not empty, and a key is not \"_\""
        case .invalidValue(let text): "this cannot be in a graph: \(text)"
        case .tooLarge: "a soul or key has 4 KiB at most, a value 64 KiB: write it in parts"
        case .notAllowed(let text): "the node belongs to somebody else: \(text)"
        case .mismatch(let text): "what is stored is something else: \(text)"
        case .wrongPassphrase: "no account of that name opens with that passphrase"
        case .storage(let text): "\(text): choose another data directory"
        case .invalidRelay(let url): "\(url) is no GUN relay: give a URL such as wss://node.example.org/gun"
        case .closed: "the graph is closed: join the swarm or connect anew"
        }
    }
}
