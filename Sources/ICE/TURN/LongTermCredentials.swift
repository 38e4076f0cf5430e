internal import Crypto
internal import SwarmBase

/// A user name and password of a TURN server (RFC 8489 §9.2).
public struct TURNCredentials: Hashable, Sendable {
    /// 1…508 bytes in UTF-8.
    public let username: String
    public let password: String

    /// - Returns: `nil` when the user name is empty or longer than RFC 8489 §14.3 allows.
    public init?(username: String, password: String) {
        guard (1...508).contains(username.utf8.count) else { return nil }
        self.username = username
        self.password = password
    }
}

/// How the password becomes a key (RFC 8489 §18.5).
enum PasswordAlgorithm: UInt16, Sendable {
    case md5 = 1
    case sha256 = 2

    func key(_ credentials: TURNCredentials, realm: [UInt8]) -> STUNIntegrityKey {
        let colon: [UInt8] = [0x3a]
        let text = Array(credentials.username.utf8) + colon + realm + colon + Array(credentials.password.utf8)
        return switch self {
        case .md5: STUNIntegrityKey(Array(Insecure.MD5.hash(data: text)))
        case .sha256: STUNIntegrityKey(Array(SHA256.hash(data: text)))
        }
    }
}

/// What a server has told of how to prove the password to it: the state of the long-term credential mechanism
/// (RFC 8489 §9.2).
struct LongTermChallenge: Sendable {
    let realm: [UInt8]
    private(set) var nonce: [UInt8]
    /// What the server offered, to be repeated to it; `nil` from a server that knows only MD5 and HMAC-SHA1.
    private let offered: [UInt16]?
    private let algorithm: PasswordAlgorithm
    private let credentials: TURNCredentials
    let key: STUNIntegrityKey

    /// Realms and nonces are echoed, so they are bounded (RFC 8489 §14.9, §14.10: fewer than 128 characters).
    private static let maximumCount = 763

    /// Understands a 401 or 438.
    ///
    /// - Returns: `nil` when it is incomplete, too long, names no algorithm that is known, or has lost the list of
    ///   algorithms that its nonce speaks of: somebody wants a weaker one to be used (RFC 8489 §9.2.1).
    init?(_ answer: STUNMessage, credentials: TURNCredentials, realm known: [UInt8]? = nil) {
        guard let nonce = answer.nonce, let realm = answer.realm ?? known, nonce.count <= Self.maximumCount,
            realm.count <= Self.maximumCount
        else { return nil }
        let offered = answer.passwordAlgorithms
        if let offered {
            guard let algorithm = offered.lazy.compactMap(PasswordAlgorithm.init(rawValue:)).first else { return nil }
            self.algorithm = algorithm
        } else {
            guard !Self.promisesAlgorithms(nonce) else { return nil }
            algorithm = .md5
        }
        self.realm = realm
        self.nonce = nonce
        self.offered = offered
        self.credentials = credentials
        key = algorithm.key(credentials, realm: realm)
    }

    /// Which integrity attribute requests carry and answers must (RFC 8489 §9.2.3.2).
    var integrity: STUNIntegrity { offered == nil ? .sha1 : .sha256 }

    /// What a request says besides its own attributes.
    var attributes: [STUNAttribute] {
        let names: [STUNAttribute] = [
            .username(Array(credentials.username.utf8)), .realm(realm), .nonce(nonce),
        ]
        guard let offered else { return names }
        return names + [.passwordAlgorithms(offered), .passwordAlgorithm(algorithm.rawValue)]
    }

    /// Whether the nonce begins with the cookie of RFC 8489 §9.2 and its first security feature bit is set.
    static func promisesAlgorithms(_ nonce: [UInt8]) -> Bool {
        guard nonce.count >= 13, nonce.starts(with: Array("obMatJos2".utf8)) else { return false }
        // Four characters of base64 for 24 bits; the first bit is the first character's highest.
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        return alphabet.firstIndex(of: nonce[9]).map { $0 & 0x20 != 0 } ?? false
    }
}

extension STUNMessage {
    var realm: [UInt8]? { first { if case .realm(let value) = $0 { value } else { nil } } }
    var nonce: [UInt8]? { first { if case .nonce(let value) = $0 { value } else { nil } } }
    var passwordAlgorithms: [UInt16]? { first { if case .passwordAlgorithms(let value) = $0 { value } else { nil } } }
    var lifetime: UInt32? { first { if case .lifetime(let value) = $0 { value } else { nil } } }
    var data: [UInt8]? { first { if case .data(let value) = $0 { value } else { nil } } }
    var peerAddress: TransportAddress? { first { if case .xorPeerAddress(let value) = $0 { value } else { nil } } }
    var alternateServer: TransportAddress? {
        first { if case .alternateServer(let value) = $0 { value } else { nil } }
    }
    var relayedAddresses: [TransportAddress] {
        attributes.compactMap { if case .xorRelayedAddress(let value) = $0 { value } else { nil } }
    }
}
