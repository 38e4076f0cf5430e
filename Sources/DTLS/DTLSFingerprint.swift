internal import SwarmBase

/// The hash of a certificate, as a session description carries it (RFC 8122 §5).
public struct DTLSFingerprint: Hashable, Sendable {
    /// The hash functions we can check.
    public enum HashFunction: String, CaseIterable, Sendable {
        case sha256 = "sha-256"
        case sha384 = "sha-384"
        case sha512 = "sha-512"

        /// The length of the digest in bytes.
        public var digestLength: Int {
            switch self {
            case .sha256: 32
            case .sha384: 48
            case .sha512: 64
            }
        }
    }

    public let hashFunction: HashFunction
    /// As many bytes as the hash function gives.
    public let digest: [UInt8]

    /// - Returns: `nil` when the digest has not the length that the hash function gives.
    public init?(_ hashFunction: HashFunction, digest: [UInt8]) {
        guard digest.count == hashFunction.digestLength else { return nil }
        self.hashFunction = hashFunction
        self.digest = digest
    }

    /// Reads the value of an `a=fingerprint` attribute: `sha-256 AB:CD:…`, the name and the digits in any case.
    ///
    /// - Returns: `nil` for a hash function we do not check, and for a digest of the wrong length.
    public init?(sdp text: some StringProtocol) {
        let parts = text.split(separator: " ", omittingEmptySubsequences: true)
        guard parts.count == 2, let hashFunction = HashFunction(rawValue: parts[0].lowercased()) else { return nil }
        let pairs = parts[1].split(separator: ":", omittingEmptySubsequences: false)
        guard pairs.count == hashFunction.digestLength, pairs.allSatisfy({ $0.utf8.count == 2 }),
            let digest = [UInt8](hexadecimal: pairs.joined())
        else { return nil }
        self.init(hashFunction, digest: digest)
    }

    /// The value of an `a=fingerprint` attribute, in upper case with colons.
    public var sdp: String {
        let pairs = digest.map { [$0].hexadecimal.uppercased() }
        return "\(hashFunction.rawValue) \(pairs.joined(separator: ":"))"
    }
}
