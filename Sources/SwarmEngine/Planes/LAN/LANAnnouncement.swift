import Magnet
public import SwarmBase

/// One announcement of local service discovery (BEP 14): "who knows these infohashes finds me at this port".
struct LANAnnouncement: Equatable {
    /// The longest announcement, in bytes: more would not fit one frame of Ethernet.
    static let largest = 1_400
    /// How many infohashes are read of one.
    static let mostInfoHashes = 32

    /// The UDP port of the sender's node.
    var port: UInt16
    var infoHashes: [InfoHash]
    /// What the sender knows its own announcements by, when they come back to it.
    var cookie: String?

    init(port: UInt16, infoHashes: [InfoHash], cookie: String?) {
        self.port = port
        self.infoHashes = infoHashes
        self.cookie = cookie
    }

    /// Reads an announcement; headers in any order and case, unknown ones are passed over.
    ///
    /// - Returns: `nil` when it is none, or names no usable port or infohash.
    init?(parsing bytes: [UInt8]) {
        guard bytes.count <= Self.largest, bytes.allSatisfy({ $0 < 0x80 }) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        var lines = text.split(separator: "\r\n", omittingEmptySubsequences: true)[...]
        guard lines.popFirst() == "BT-SEARCH * HTTP/1.1" else { return nil }
        var port: UInt16?
        var infoHashes: [InfoHash] = []
        var cookie: String?
        for line in lines {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = String(line[line.index(after: colon)...].drop { $0 == " " })
            switch line[..<colon].lowercased() {
            case "port": port = UInt16(value)
            case "infohash":
                guard infoHashes.count < Self.mostInfoHashes, let hash = InfoHash(hexadecimal: value) else { continue }
                infoHashes.append(hash)
            case "cookie": cookie = String(value.prefix(64))
            default: continue
            }
        }
        guard let port, port > 0, !infoHashes.isEmpty else { return nil }
        self.init(port: port, infoHashes: infoHashes, cookie: cookie)
    }

    /// The announcement as it is sent to a group.
    func bytes(to group: LANGroup) -> [UInt8] {
        var text = "BT-SEARCH * HTTP/1.1\r\nHost: \(group.host)\r\nPort: \(port)\r\n"
        for hash in infoHashes { text += "Infohash: \(hash)\r\n" }
        if let cookie { text += "cookie: \(cookie)\r\n" }
        return Array((text + "\r\n\r\n").utf8)
    }
}

/// The multicast groups of BEP 14.
public enum LANGroup: CaseIterable, Sendable {
    case v4
    case v6

    /// The UDP port of both.
    public static let port: UInt16 = 6771

    /// 239.192.152.143, or ff15::efc0:988f.
    public var address: IPAddress {
        switch self {
        case .v4: .v4(0xefc0_988f)
        case .v6: .v6(0xff15_0000_0000_0000, 0xefc0_988f)
        }
    }

    /// The value of the Host header.
    fileprivate var host: String {
        switch self {
        case .v4: "\(address):\(Self.port)"
        case .v6: "[\(address)]:\(Self.port)"
        }
    }
}
