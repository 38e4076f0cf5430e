import SwarmBase

/// Why a text is not a usable magnet link.
public enum MagnetError: Error, Hashable, Sendable {
    /// Longer than ``MagnetLink/maximumByteCount``.
    case tooLong
    /// Does not begin with `magnet:?`.
    case notMagnet
    /// An `urn:btih:` or `urn:btmh:` that is not 40 hexadecimal digits, 32 base32 characters or a SHA-256 multihash.
    case invalidInfoHash
    /// The salt of a BEP 46 link is not hexadecimal or longer than 64 bytes.
    case invalidSalt
    /// Neither a hash nor a BEP 46 key.
    case missingTarget
}

extension MagnetLink {
    /// The longest text that is read, in bytes of UTF-8.
    public static let maximumByteCount = 1 << 16
    /// How many entries of one kind (trackers, peers, …) are kept; further ones are dropped.
    public static let maximumEntries = 100

    /// Reads a magnet link.
    ///
    /// White space around the link is trimmed, a `#fragment` cut off, parameter names are taken in any case and with
    /// or without a number suffix (`tr.1`). An unusable hint is dropped, an unusable hash rejects the link.
    public init(parsing text: String) throws(MagnetError) {
        var bytes = Array(text.utf8)[...]
        guard bytes.count <= Self.maximumByteCount else { throw .tooLong }
        while let first = bytes.first, isWhiteSpace(first) { bytes.removeFirst() }
        while let last = bytes.last, isWhiteSpace(last) { bytes.removeLast() }
        if let fragment = bytes.firstIndex(of: UInt8(ascii: "#")) { bytes = bytes[..<fragment] }
        guard let query = bytes.droppingPrefix("magnet:?") else { throw .notMagnet }

        var reader = MagnetReader()
        for pair in query.split(separator: UInt8(ascii: "&")) {
            let name: ArraySlice<UInt8>
            let value: ArraySlice<UInt8>
            if let equals = pair.firstIndex(of: UInt8(ascii: "=")) {
                name = pair[..<equals]
                value = pair[pair.index(after: equals)...]
            } else {
                name = pair
                value = []
            }
            if !name.isEmpty { try reader.read(name: name, value: value) }
        }
        self = try reader.link()
    }
}

/// What was read of a link so far.
private struct MagnetReader {
    private var v1: InfoHash?
    private var v2: InfoHashV2?
    /// The first BEP 46 key and salt; their texts are also among the hints, where they stay if there is a hash.
    private var publicKey: (bytes: [UInt8], source: String)?
    private var salt: String?
    /// Hints gather in a link whose target is replaced at the end.
    private var hints = MagnetLink(.v1(InfoHash.zero))

    mutating func read(name: ArraySlice<UInt8>, value: ArraySlice<UInt8>) throws(MagnetError) {
        let name = percentDecoded(name)
        let text = String(validating: percentDecoded(value))
        switch Self.canonical(name) {
        case "xt":
            if let text { try readTopic(text) }
        case "xs":
            if let text, !text.isEmpty { readSource(text) }
        case "s":
            guard let text, !text.isEmpty else { break }
            salt = salt ?? text
            append(MagnetLink.Parameter("s", text), to: \.others)
        case "dn":
            // Form encoding's "+" is undone before the escapes, so that "%2B" stays a plus sign.
            let spaced = value.map { $0 == UInt8(ascii: "+") ? UInt8(ascii: " ") : $0 }
            if let text = String(validating: percentDecoded(spaced[...])), !text.isEmpty { hints.displayName = text }
        case "tr":
            append(text, to: \.trackers, schemes: ["udp", "http", "https", "ws", "wss"])
        case "x.gun":
            append(text, to: \.gunRelays, schemes: ["http", "https", "ws", "wss"])
        case "ws", "as":
            append(text, to: \.webSeeds, schemes: ["http", "https", "ftp"])
        case "x.pe":
            append(text.flatMap(MagnetLink.Endpoint.init), to: \.peers)
        case "dht":
            append(text.flatMap(MagnetLink.Endpoint.init), to: \.dhtNodes)
        case "so":
            if let text, let indices = FileSelection.indices(text) { hints.selectedFiles = indices }
        case "xl":
            if let text, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = UInt64(text) {
                hints.exactLength = length
            }
        default:
            if let text, let name = String(validating: name) {
                append(MagnetLink.Parameter(name, text), to: \.others)
            }
        }
    }

    /// Lower case, without the `.n` that tells several parameters of one kind apart.
    private static func canonical(_ name: [UInt8]) -> String {
        var name = name[...]
        let digits = name.reversed().prefix { (0x30...0x39).contains($0) }.count
        if digits > 0, name.dropLast(digits).last == UInt8(ascii: ".") { name = name.dropLast(digits + 1) }
        return String(decoding: name.map(lowercased), as: UTF8.self)
    }

    private mutating func readTopic(_ text: String) throws(MagnetError) {
        let bytes = Array(text.utf8)[...]
        if let digits = bytes.droppingPrefix("urn:btih:") {
            guard let hash = InfoHash(String(decoding: digits, as: UTF8.self)) else { throw .invalidInfoHash }
            v1 = v1 ?? hash
        } else if let digits = bytes.droppingPrefix("urn:btmh:") {
            guard let hash = InfoHashV2(multihash: String(decoding: digits, as: UTF8.self)) else {
                throw .invalidInfoHash
            }
            v2 = v2 ?? hash
        } else {
            append(MagnetLink.Parameter("xt", text), to: \.others)
        }
    }

    private mutating func readSource(_ text: String) {
        append(text, to: \.exactSources)
        if publicKey == nil, let digits = Array(text.utf8)[...].droppingPrefix("urn:btpk:"),
            let key = [UInt8](hexadecimal: String(decoding: digits, as: UTF8.self)), key.count == 32
        {
            publicKey = (key, text)
        }
    }

    private mutating func append(_ url: String?, to list: WritableKeyPath<MagnetLink, [String]>, schemes: [String]) {
        guard let url, let colon = url.utf8.firstIndex(of: UInt8(ascii: ":")) else { return }
        let scheme = String(decoding: url.utf8[..<colon].map(lowercased), as: UTF8.self)
        let rest = url.utf8[colon...]
        guard schemes.contains(scheme), rest.starts(with: "://".utf8), rest.count > 3 else { return }
        append(url, to: list)
    }

    /// Appends what is not yet there, up to the cap.
    private mutating func append<Entry: Equatable>(_ entry: Entry?, to list: WritableKeyPath<MagnetLink, [Entry]>) {
        guard let entry, hints[keyPath: list].count < MagnetLink.maximumEntries else { return }
        if !hints[keyPath: list].contains(entry) { hints[keyPath: list].append(entry) }
    }

    mutating func link() throws(MagnetError) -> MagnetLink {
        switch (v1, v2) {
        case (let v1?, let v2?): hints.target = .hybrid(v1, v2)
        case (let v1?, nil): hints.target = .v1(v1)
        case (nil, let v2?): hints.target = .v2(v2)
        case (nil, nil):
            guard let publicKey else { throw .missingTarget }
            guard let saltBytes = [UInt8](hexadecimal: salt ?? ""),
                let target = MagnetLink.MutableTarget(publicKey: publicKey.bytes, salt: saltBytes)
            else { throw .invalidSalt }
            hints.target = .mutable(target)
            hints.exactSources.removeAll { $0 == publicKey.source }
            hints.others.removeAll { $0.name == "s" && $0.value == salt }
        }
        return hints
    }
}

extension InfoHash {
    /// Stands where a hash will be written.
    fileprivate static var zero: InfoHash {
        guard let hash = InfoHash(bytes: [UInt8](repeating: 0, count: byteCount)) else { preconditionFailure() }
        return hash
    }
}

/// BEP 53's list of file indices.
enum FileSelection {
    /// Indices from here on make the selection malformed: a link can say `0-4294967295`.
    static let limit = 1 << 16

    /// Reads `0,2,4,6-8`; `nil` when any part is malformed.
    static func indices(_ text: String) -> [Int]? {
        var ranges: [ClosedRange<Int>] = []
        for part in text.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            let bounds = part.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
            guard bounds.count <= 2, let first = index(bounds.first), let last = index(bounds.last), first <= last
            else { return nil }
            ranges.append(first...last)
        }
        ranges.sort { $0.lowerBound < $1.lowerBound }
        var indices: [Int] = []
        for range in ranges {
            let start = max(range.lowerBound, (indices.last ?? -1) + 1)
            if start <= range.upperBound { indices += start...range.upperBound }
        }
        return indices
    }

    private static func index(_ digits: Substring.UTF8View?) -> Int? {
        guard let digits, (1...7).contains(digits.count) else { return nil }
        var value = 0
        for digit in digits {
            guard (0x30...0x39).contains(digit) else { return nil }
            value = value * 10 + Int(digit - 0x30)
        }
        return value < limit ? value : nil
    }

    /// Writes ascending indices, runs as ranges.
    static func text(_ indices: [Int]) -> String {
        var parts: [String] = []
        var position = 0
        while position < indices.count {
            var end = position
            while end + 1 < indices.count, indices[end + 1] &- 1 == indices[end] { end += 1 }
            parts.append(end == position ? "\(indices[position])" : "\(indices[position])-\(indices[end])")
            position = end + 1
        }
        return parts.joined(separator: ",")
    }
}
