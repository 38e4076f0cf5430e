public import SwarmBase

/// One attribute of a STUN message (RFC 8489 §14, RFC 8445 §16.1, RFC 8656 §18), without MESSAGE-INTEGRITY and FINGERPRINT: those
/// are made when a message is written and checked when one is read.
public enum STUNAttribute: Hashable, Sendable {
    /// MAPPED-ADDRESS, which answers of old servers carry.
    case mappedAddress(TransportAddress)
    /// XOR-MAPPED-ADDRESS: where the request came from, as its receiver saw it.
    case xorMappedAddress(TransportAddress)
    /// USERNAME, 1…508 bytes; in a check `receiver's ufrag:sender's ufrag`.
    case username([UInt8])
    /// ERROR-CODE, 300…699, with the reason phrase.
    case errorCode(UInt16, reason: String)
    /// UNKNOWN-ATTRIBUTES: what a 420 could not understand.
    case unknownAttributes([UInt16])
    /// REALM of the long-term credential mechanism.
    case realm([UInt8])
    /// NONCE of the long-term credential mechanism.
    case nonce([UInt8])
    /// SOFTWARE: a description for people.
    case software(String)
    /// PRIORITY: what a peer-reflexive candidate learned from this check gets (RFC 8445 §7.1.1).
    case priority(UInt32)
    /// USE-CANDIDATE: the controlling agent nominates the pair (RFC 8445 §7.1.2).
    case useCandidate
    /// ICE-CONTROLLING with the sender's tie-breaker (RFC 8445 §7.1.3).
    case iceControlling(UInt64)
    /// ICE-CONTROLLED with the sender's tie-breaker.
    case iceControlled(UInt64)
    /// CHANNEL-NUMBER (RFC 8656 §18.1).
    case channelNumber(UInt16)
    /// LIFETIME in seconds (RFC 8656 §18.2).
    case lifetime(UInt32)
    /// XOR-PEER-ADDRESS: whom a TURN request or indication is about (RFC 8656 §18.3).
    case xorPeerAddress(TransportAddress)
    /// DATA: what a peer sent or is to get (RFC 8656 §18.4).
    case data([UInt8])
    /// XOR-RELAYED-ADDRESS: the address that a TURN server lends (RFC 8656 §18.5).
    case xorRelayedAddress(TransportAddress)
    /// REQUESTED-ADDRESS-FAMILY (RFC 8656 §18.6).
    case requestedAddressFamily(isIPv6: Bool)
    /// REQUESTED-TRANSPORT: an IP protocol number (RFC 8656 §18.8).
    case requestedTransport(UInt8)
    /// ADDITIONAL-ADDRESS-FAMILY: an IPv6 address besides the IPv4 one (RFC 8656 §18.11).
    case additionalAddressFamily
    /// ALTERNATE-SERVER: whom to ask instead (RFC 8489 §14.15).
    case alternateServer(TransportAddress)
    /// PASSWORD-ALGORITHMS: what a server offers (RFC 8489 §14.11); algorithms with parameters are known by number only.
    case passwordAlgorithms([UInt16])
    /// PASSWORD-ALGORITHM: what a client has chosen (RFC 8489 §14.12).
    case passwordAlgorithm(UInt16)
    /// Any other attribute, as it is.
    case other(type: UInt16, value: [UInt8])

    /// The attribute's type number. Below 0x8000 the receiver must understand it (RFC 8489 §14).
    public var type: UInt16 {
        switch self {
        case .mappedAddress: 0x0001
        case .username: 0x0006
        case .errorCode: 0x0009
        case .channelNumber: 0x000c
        case .lifetime: 0x000d
        case .xorPeerAddress: 0x0012
        case .data: 0x0013
        case .xorRelayedAddress: 0x0016
        case .requestedAddressFamily: 0x0017
        case .requestedTransport: 0x0019
        case .passwordAlgorithm: 0x001d
        case .additionalAddressFamily: 0x8000
        case .passwordAlgorithms: 0x8002
        case .alternateServer: 0x8023
        case .unknownAttributes: 0x000a
        case .realm: 0x0014
        case .nonce: 0x0015
        case .xorMappedAddress: 0x0020
        case .priority: 0x0024
        case .useCandidate: 0x0025
        case .software: 0x8022
        case .iceControlled: 0x8029
        case .iceControlling: 0x802a
        case .other(let type, _): type
        }
    }

    static let messageIntegrity: UInt16 = 0x0008
    static let messageIntegritySHA256: UInt16 = 0x001c
    static let fingerprint: UInt16 = 0x8028
}

extension STUNAttribute {
    /// Reads one attribute's value.
    ///
    /// - Returns: `nil` when a known attribute's value is not what its definition says.
    init?(type: UInt16, value: [UInt8], transactionID: STUNTransactionID) {
        var reader = ByteReader(value)
        switch type {
        case 0x0001:
            guard let address = Self.address(value, mask: nil) else { return nil }
            self = .mappedAddress(address)
        case 0x0020:
            guard let address = Self.address(value, mask: transactionID) else { return nil }
            self = .xorMappedAddress(address)
        case 0x0006:
            guard (1...513).contains(value.count) else { return nil }
            self = .username(value)
        case 0x0009:
            guard value.count >= 4, (3...6).contains(value[2] & 7), value[3] < 100 else { return nil }
            let code = UInt16(value[2] & 7) * 100 + UInt16(value[3])
            self = .errorCode(code, reason: String(decoding: value.dropFirst(4), as: UTF8.self))
        case 0x000a:
            var types: [UInt16] = []
            while let type = reader.integer(UInt16.self) { types.append(type) }
            self = .unknownAttributes(types)
        case 0x000c:
            guard value.count == 4, let number = reader.integer(UInt16.self) else { return nil }
            self = .channelNumber(number)
        case 0x000d:
            guard value.count == 4, let seconds = reader.integer(UInt32.self) else { return nil }
            self = .lifetime(seconds)
        case 0x0012:
            guard let address = Self.address(value, mask: transactionID) else { return nil }
            self = .xorPeerAddress(address)
        case 0x0013:
            self = .data(value)
        case 0x0016:
            guard let address = Self.address(value, mask: transactionID) else { return nil }
            self = .xorRelayedAddress(address)
        case 0x0017:
            guard value.count == 4, (1...2).contains(value[0]) else { return nil }
            self = .requestedAddressFamily(isIPv6: value[0] == 2)
        case 0x0019:
            guard value.count == 4 else { return nil }
            self = .requestedTransport(value[0])
        case 0x001d:
            guard let algorithm = reader.integer(UInt16.self) else { return nil }
            self = .passwordAlgorithm(algorithm)
        // What need not be understood cannot spoil a message.
        case 0x8000:
            self = value.count == 4 && value[0] == 2 ? .additionalAddressFamily : .other(type: type, value: value)
        case 0x8002:
            var algorithms: [UInt16] = []
            while !reader.isAtEnd {
                guard let algorithm = reader.integer(UInt16.self), let parameters = reader.prefixed(by: UInt16.self)
                else {
                    self = .other(type: type, value: value)
                    return
                }
                // The last one's padding may be left to the attribute's own.
                _ = reader.bytes(min((4 - parameters.count % 4) % 4, reader.remaining))
                algorithms.append(algorithm)
            }
            self = .passwordAlgorithms(algorithms)
        case 0x8023:
            self = Self.address(value, mask: nil).map { .alternateServer($0) } ?? .other(type: type, value: value)
        case 0x0014:
            self = .realm(value)
        case 0x0015:
            self = .nonce(value)
        case 0x0024:
            guard value.count == 4, let priority = reader.integer(UInt32.self) else { return nil }
            self = .priority(priority)
        case 0x0025:
            self = .useCandidate
        case 0x8022:
            self = .software(String(decoding: value, as: UTF8.self))
        case 0x8029, 0x802a:
            guard value.count == 8, let tieBreaker = reader.integer(UInt64.self) else { return nil }
            self = type == 0x8029 ? .iceControlled(tieBreaker) : .iceControlling(tieBreaker)
        default:
            self = .other(type: type, value: value)
        }
    }

    /// Writes the attribute, padding included. Those of checks and their answers, which every connection sends for ever, are
    /// written in place.
    func write(to writer: inout ByteWriter, transactionID: STUNTransactionID) {
        writer.integer(type)
        switch self {
        case .priority(let priority):
            writer.integer(UInt16(4))
            writer.integer(priority)
        case .iceControlling(let tieBreaker), .iceControlled(let tieBreaker):
            writer.integer(UInt16(8))
            writer.integer(tieBreaker)
        case .useCandidate:
            writer.integer(UInt16(0))
        case .xorMappedAddress(let address):
            writer.integer(UInt16(address.address.isIPv6 ? 20 : 8))
            writer.integer(UInt16(address.address.isIPv6 ? 2 : 1))
            writer.integer(address.port ^ UInt16(truncatingIfNeeded: STUNMessage.magicCookie >> 16))
            switch Self.xored(address.address, transactionID) {
            case .v4(let value):
                writer.integer(value)
            case .v6(let high, let low):
                writer.integer(high)
                writer.integer(low)
            }
        default:
            let value = value(transactionID: transactionID)
            writer.prefixed(by: UInt16.self, value)
            for _ in 0..<(4 - value.count % 4) % 4 { writer.integer(UInt8(0)) }
        }
    }

    /// The attribute's value as it is written.
    func value(transactionID: STUNTransactionID) -> [UInt8] {
        var writer = ByteWriter(capacity: 20)
        switch self {
        case .mappedAddress(let address), .alternateServer(let address):
            return Self.bytes(of: address, mask: nil)
        case .xorMappedAddress(let address), .xorPeerAddress(let address), .xorRelayedAddress(let address):
            return Self.bytes(of: address, mask: transactionID)
        case .username(let bytes), .realm(let bytes), .nonce(let bytes), .data(let bytes),
            .other(_, let bytes):
            return bytes
        case .channelNumber(let number):
            writer.integer(number)
            writer.integer(UInt16(0))
        case .lifetime(let seconds):
            writer.integer(seconds)
        case .requestedAddressFamily(let isIPv6):
            return [isIPv6 ? 2 : 1, 0, 0, 0]
        case .requestedTransport(let number):
            return [number, 0, 0, 0]
        case .additionalAddressFamily:
            return [2, 0, 0, 0]
        case .passwordAlgorithms(let algorithms):
            for algorithm in algorithms {
                writer.integer(algorithm)
                writer.integer(UInt16(0))
            }
        case .passwordAlgorithm(let algorithm):
            writer.integer(algorithm)
            writer.integer(UInt16(0))
        case .errorCode(let code, let reason):
            writer.integer(UInt16(0))
            writer.integer(UInt8(truncatingIfNeeded: code / 100))
            writer.integer(UInt8(truncatingIfNeeded: code % 100))
            writer.append(reason.utf8)
        case .unknownAttributes(let types):
            for type in types { writer.integer(type) }
        case .software(let text):
            return Array(text.utf8)
        case .priority(let priority):
            writer.integer(priority)
        case .useCandidate:
            return []
        case .iceControlling(let tieBreaker), .iceControlled(let tieBreaker):
            writer.integer(tieBreaker)
        }
        return writer.bytes
    }

    /// RFC 8489 §14.1 and §14.2: a zero byte, the family, the port, the address; XORed with cookie and transaction id.
    private static func address(_ value: [UInt8], mask: STUNTransactionID?) -> TransportAddress? {
        var reader = ByteReader(value)
        guard reader.integer(UInt8.self) != nil, let family = reader.integer(UInt8.self),
            let port = reader.integer(UInt16.self)
        else { return nil }
        let (address, plainPort): (IPAddress, UInt16)
        switch (family, reader.remaining) {
        case (1, 4):
            guard let value = reader.integer(UInt32.self) else { return nil }
            address = .v4(value)
        case (2, 16):
            guard let high = reader.integer(UInt64.self), let low = reader.integer(UInt64.self) else { return nil }
            // Not mapped to IPv4 before the mask is off.
            address = .v6(high, low)
        default:
            return nil
        }
        plainPort = mask == nil ? port : port ^ UInt16(truncatingIfNeeded: STUNMessage.magicCookie >> 16)
        switch mask.map({ xored(address, $0) }) ?? address {
        case .v4(let value): return TransportAddress(.v4(value), port: plainPort)
        case .v6(let high, let low): return TransportAddress(IPAddress(high: high, low: low), port: plainPort)
        }
    }

    private static func bytes(of address: TransportAddress, mask: STUNTransactionID?) -> [UInt8] {
        var writer = ByteWriter(capacity: 20)
        writer.integer(UInt8(0))
        writer.integer(UInt8(address.address.isIPv6 ? 2 : 1))
        if let mask {
            writer.integer(address.port ^ UInt16(truncatingIfNeeded: STUNMessage.magicCookie >> 16))
            writer.append(xored(address.address, mask).bytes)
        } else {
            writer.integer(address.port)
            writer.append(address.address.bytes)
        }
        return writer.bytes
    }

    /// The mask is the cookie, and for IPv6 the transaction id behind it.
    private static func xored(_ address: IPAddress, _ mask: STUNTransactionID) -> IPAddress {
        switch address {
        case .v4(let value):
            return .v4(value ^ STUNMessage.magicCookie)
        case .v6(let high, let low):
            let first = UInt64(STUNMessage.magicCookie) << 32 | mask.high >> 32
            return .v6(high ^ first, low ^ (mask.high << 32 | UInt64(mask.low)))
        }
    }
}
