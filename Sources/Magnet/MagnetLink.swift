public import SwarmBase

/// A magnet link (BEP 9, 19, 46, 52, 53): what names a swarm, and hints where to find it.
///
/// Everything but ``target`` is a hint from whoever made the link: cap, check and ask before using it. Parse with
/// ``init(parsing:)``, print with ``description``. Two parameters beyond the BEPs are known: `dht` (a DHT node) and
/// this project's own `x.gun` (a GUN relay).
public struct MagnetLink: Hashable, Sendable {
    /// What the link is about.
    public enum Target: Hashable, Sendable {
        /// `xt=urn:btih:`, a v1 torrent or a swarm without a torrent.
        case v1(InfoHash)
        /// `xt=urn:btmh:`, a v2 torrent.
        case v2(InfoHashV2)
        /// Both: one torrent with two hashes.
        case hybrid(InfoHash, InfoHashV2)
        /// `xs=urn:btpk:` without any `xt`: an item in the DHT that names the current torrent (BEP 46).
        case mutable(MutableTarget)
    }

    /// An ed25519 key and a salt under which the DHT holds a torrent's hash (BEP 46).
    public struct MutableTarget: Hashable, Sendable {
        /// The 32 bytes of the public key.
        public let publicKey: [UInt8]
        /// 0…64 bytes (BEP 44).
        public let salt: [UInt8]

        /// `nil` unless the key has 32 bytes and the salt at most 64.
        public init?(publicKey: [UInt8], salt: [UInt8] = []) {
            guard publicKey.count == 32, salt.count <= 64 else { return nil }
            self.publicKey = publicKey
            self.salt = salt
        }
    }

    /// A host name or address, and a port.
    public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
        /// A host name, an IPv4 address or an IPv6 address without brackets.
        public let host: String
        /// 1…65535.
        public let port: UInt16

        /// Reads `host:port`, `a.b.c.d:port` or `[ipv6]:port`; `nil` for anything else and for port 0.
        public init?(_ text: String) {
            guard let colon = text.lastIndex(of: ":") else { return nil }
            let digits = text[text.index(after: colon)...]
            guard (1...5).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let port = UInt16(digits), port > 0
            else { return nil }
            let name = text[..<colon]
            if name.hasPrefix("["), name.hasSuffix("]") {
                guard let address = IPAddress(String(name.dropFirst().dropLast())) else { return nil }
                host = address.description
            } else {
                guard Self.isHostName(name) else { return nil }
                host = String(name)
            }
            self.port = port
        }

        /// RFC 1123 §2.1: letters, digits and hyphens in labels; a last label of digits only if all is an IPv4 address.
        private static func isHostName(_ text: Substring) -> Bool {
            guard (1...253).contains(text.utf8.count) else { return false }
            let labels = text.split(separator: ".", omittingEmptySubsequences: false)
            let isWellFormed = labels.allSatisfy { label in
                (1...63).contains(label.utf8.count)
                    && label.utf8.allSatisfy { character in
                        switch character {
                        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                            true
                        default: false
                        }
                    }
            }
            guard isWellFormed, let last = labels.last else { return false }
            if last.utf8.allSatisfy({ (0x30...0x39).contains($0) }) { return IPAddress(String(text)) != nil }
            return true
        }

        /// The address, if the host is one and not a name.
        public var transportAddress: TransportAddress? {
            IPAddress(host).map { TransportAddress($0, port: port) }
        }

        /// `host:port`, with brackets around an IPv6 address.
        public var description: String {
            host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        }
    }

    /// A parameter this type does not interpret.
    public struct Parameter: Hashable, Sendable {
        /// As written in the link.
        public var name: String
        /// Percent-decoded.
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// What the link is about.
    public var target: Target
    /// `dn`, as given by the link's maker: may hold anything. See ``fileName``.
    public var displayName: String?
    /// `tr`: tracker URLs (udp, http, https, ws or wss), each its own tier, without duplicates.
    public var trackers: [String] = []
    /// `ws` and `as`: web seed URLs (BEP 19; http, https or ftp).
    public var webSeeds: [String] = []
    /// `xs`: where the torrent may be fetched; only with the user's consent.
    public var exactSources: [String] = []
    /// `x.pe`: peers to try.
    public var peers: [Endpoint] = []
    /// `dht`: DHT nodes to try.
    public var dhtNodes: [Endpoint] = []
    /// `x.gun`: GUN relay URLs (ws, wss, http or https), without duplicates. This project's own parameter.
    public var gunRelays: [String] = []
    /// `so` (BEP 53): zero-based file indices in ascending order; `nil` means all files.
    public var selectedFiles: [Int]?
    /// `xl`: the size in bytes.
    public var exactLength: UInt64?
    /// Everything else, in order, also `xt` of other kinds.
    public var others: [Parameter] = []

    /// A link with nothing but its target.
    public init(_ target: Target) { self.target = target }

    /// A link to a v1 torrent or to a swarm without a torrent.
    public init(infoHash: InfoHash) { self.init(.v1(infoHash)) }

    /// The v1 hash, if there is one.
    public var infoHash: InfoHash? {
        switch target {
        case .v1(let hash), .hybrid(let hash, _): hash
        case .v2, .mutable: nil
        }
    }

    /// The v2 hash, if there is one.
    public var infoHashV2: InfoHashV2? {
        switch target {
        case .v2(let hash), .hybrid(_, let hash): hash
        case .v1, .mutable: nil
        }
    }

    /// The hash under which trackers, the DHT and the peer wire know the swarm: v1's, or the first 20 bytes of v2's.
    /// `nil` for a BEP 46 link, which the DHT must resolve first.
    public var swarmHash: InfoHash? { infoHash ?? infoHashV2?.truncated }

    /// ``displayName`` made fit to be one file name: no separators, no `.` or `..` component, no control characters,
    /// at most 200 bytes; `nil` when nothing is left.
    public var fileName: String? {
        guard let displayName else { return nil }
        let components = displayName.unicodeScalars.split {
            $0 == "/" || $0 == "\\" || $0.value < 0x20 || $0 == "\u{7f}"
        }
        .map { String(String.UnicodeScalarView($0)) }
        .filter { $0 != "." && $0 != ".." }
        var name = ""
        for scalar in components.joined(separator: "_").unicodeScalars {
            guard name.utf8.count + String(scalar).utf8.count <= 200 else { break }
            name.unicodeScalars.append(scalar)
        }
        return name.isEmpty ? nil : name
    }
}

extension MagnetLink: LosslessStringConvertible {
    /// Reads a link; `nil` where ``init(parsing:)`` throws.
    public init?(_ description: String) {
        guard let link = try? MagnetLink(parsing: description) else { return nil }
        self = link
    }

    /// The link: lower-case hexadecimal, `xt` first, values percent-encoded except RFC 3986 §2.3's unreserved
    /// characters. Hashes, endpoints and file lists hold only characters that parsers take literally.
    public var description: String {
        var pairs: [String] = []
        switch target {
        case .v1(let hash): pairs.append("xt=urn:btih:\(hash)")
        case .v2(let hash): pairs.append("xt=urn:btmh:\(hash.multihash)")
        case .hybrid(let v1, let v2): pairs += ["xt=urn:btih:\(v1)", "xt=urn:btmh:\(v2.multihash)"]
        case .mutable(let item):
            pairs.append("xs=urn:btpk:\(item.publicKey.hexadecimal)")
            if !item.salt.isEmpty { pairs.append("s=\(item.salt.hexadecimal)") }
        }
        if let displayName, !displayName.isEmpty { pairs.append("dn=" + percentEncoded(displayName)) }
        if let exactLength { pairs.append("xl=\(exactLength)") }
        pairs += trackers.map { "tr=" + percentEncoded($0) }
        pairs += gunRelays.map { "x.gun=" + percentEncoded($0) }
        pairs += webSeeds.map { "ws=" + percentEncoded($0) }
        pairs += exactSources.map { "xs=" + percentEncoded($0) }
        pairs += peers.map { "x.pe=\($0)" }
        pairs += dhtNodes.map { "dht=\($0)" }
        if let selectedFiles, !selectedFiles.isEmpty { pairs.append("so=" + FileSelection.text(selectedFiles)) }
        pairs += others.map { percentEncoded($0.name) + "=" + percentEncoded($0.value) }
        return "magnet:?" + pairs.joined(separator: "&")
    }
}
