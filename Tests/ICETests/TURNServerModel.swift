import Crypto
import SwarmBase

@testable import ICE

/// A TURN server for tests: strict where RFC 8656 is, and told what to do wrong.
struct TURNServerModel {
    static let address = TransportAddress(.v4(0xc633_6407), port: 3478)  // 198.51.100.7
    static let relayIPv4 = IPAddress.v4(0xc633_6408)
    static let relayIPv6 = IPAddress.v6(0x2001_0db8_0000_0000, 8)

    struct Client {
        var username: String
        var relayed: [TransportAddress]
        var expires: Instant
        var permissions: [IPAddress: Instant] = [:]
        var channels: [UInt16: (peer: TransportAddress, until: Instant)] = [:]
    }

    enum Security { case md5, algorithms([UInt16]), none }

    var security = Security.md5
    var username = "user"
    var password = "pässword"
    var realm = "example.org"
    var nonceNumber = 1
    var lifetime: UInt32 = 600
    /// Answers the next Allocate requests, authenticated or not, with these errors.
    var allocateErrors: [UInt16] = []
    var alternate: TransportAddress?
    var refusedPeers: Set<IPAddress> = []
    /// Loses the list of algorithms that the nonce promises.
    var hidesAlgorithms = false
    var clients: [TransportAddress: Client] = [:]
    var nextPort: UInt16 = 50_000
    /// The requests that came, by method and whether they were authenticated.
    var log: [(method: STUNMethod, isSigned: Bool)] = []

    func count(_ method: STUNMethod) -> Int { log.count { $0.method == method } }

    /// What comes out: an answer or data for a client, or a datagram from a relayed address to a peer.
    enum Output {
        case client(TransportAddress, [UInt8])
        case peer(from: TransportAddress, to: TransportAddress, [UInt8])
    }

    private var nonce: [UInt8] {
        if case .algorithms = security { return Array("obMatJos2gAAAnonce\(nonceNumber)".utf8) }
        return Array("nonce\(nonceNumber)".utf8)
    }

    private func key(_ algorithm: UInt16) -> STUNIntegrityKey {
        let text = Array("\(username):\(realm):\(password)".utf8)
        return STUNIntegrityKey(
            algorithm == 2 ? Array(SHA256.hash(data: text)) : Array(Insecure.MD5.hash(data: text)))
    }

    // MARK: From clients

    mutating func handle(_ frame: [UInt8], from source: TransportAddress, now: Instant) -> [Output] {
        clients = clients.filter { $0.value.expires > now }
        if let first = frame.first, first >= 4 {
            guard let data = ChannelData(parsing: frame), let client = clients[source],
                let channel = client.channels[data.number.rawValue], channel.until > now
            else { return [] }
            return relay(data.payload, to: channel.peer, of: client, now)
        }
        guard let received = try? ReceivedSTUNMessage(parsing: frame) else { return [] }
        let message = received.message
        guard message.messageClass == .request else {
            guard message.method == .send, let peer = message.peerAddress, let payload = message.data,
                let client = clients[source]
            else { return [] }
            return relay(payload, to: peer, of: client, now)
        }
        log.append((message.method, received.hasIntegrity))
        if message.method == .allocate, !allocateErrors.isEmpty {
            return error(allocateErrors.removeFirst(), to: message, from: source)
        }
        var signature: (STUNIntegrityKey, STUNIntegrity)?
        switch check(received) {
        case .refuse(let code): return error(code, to: message, from: source)
        case .accept(let key): signature = key
        }
        let (code, attributes) = perform(message, from: source, now)
        let answer: STUNMessage
        if code == 0 {
            answer = STUNMessage(
                .success, method: message.method, transactionID: message.transactionID, attributes: attributes)
        } else {
            answer = STUNMessage(
                .error, method: message.method, transactionID: message.transactionID,
                attributes: [.errorCode(code, reason: "no")])
        }
        return [.client(source, answer.encoded(key: signature?.0, integrity: signature?.1 ?? .sha1))]
    }

    private enum Check { case refuse(UInt16), accept((STUNIntegrityKey, STUNIntegrity)?) }

    private func check(_ received: ReceivedSTUNMessage) -> Check {
        let message = received.message
        let integrity: STUNIntegrity
        let algorithm: UInt16
        switch security {
        case .none: return .accept(nil)
        case .md5: (integrity, algorithm) = (.sha1, 1)
        case .algorithms(let offered):
            guard received.hasIntegrity else { return .refuse(401) }
            let chosen = message.attributes.lazy.compactMap {
                if case .passwordAlgorithm(let value) = $0 { value } else { nil }
            }.first
            guard message.passwordAlgorithms == offered, let chosen, offered.contains(chosen) else {
                return .refuse(400)
            }
            (integrity, algorithm) = (.sha256, chosen)
        }
        guard received.hasIntegrity else { return .refuse(401) }
        guard message.nonce == nonce else { return .refuse(438) }
        let key = key(algorithm)
        guard message.username == Array(username.utf8), message.realm == Array(realm.utf8),
            received.isAuthentic(key: key, integrity)
        else { return .refuse(401) }
        return .accept((key, integrity))
    }

    private func error(_ code: UInt16, to message: STUNMessage, from source: TransportAddress) -> [Output] {
        var attributes: [STUNAttribute] = [.errorCode(code, reason: "no")]
        if code == 401 || code == 438 {
            attributes += [.realm(Array(realm.utf8)), .nonce(nonce)]
            if case .algorithms(let offered) = security, !hidesAlgorithms {
                attributes.append(.passwordAlgorithms(offered))
            }
        }
        if code == 300, let alternate { attributes.append(.alternateServer(alternate)) }
        let answer = STUNMessage(
            .error, method: message.method, transactionID: message.transactionID, attributes: attributes)
        return [.client(source, answer.encoded())]
    }

    private mutating func perform(
        _ message: STUNMessage, from source: TransportAddress, _ now: Instant
    ) -> (UInt16, [STUNAttribute]) {
        let peer = message.peerAddress
        switch message.method {
        case .allocate:
            guard clients[source] == nil else { return (437, []) }
            guard message.attributes.contains(.requestedTransport(17)) else { return (442, []) }
            var relayed: [TransportAddress] = []
            let wantsOnlyIPv6 = message.attributes.contains(.requestedAddressFamily(isIPv6: true))
            if !wantsOnlyIPv6 { relayed.append(TransportAddress(Self.relayIPv4, port: nextPort)) }
            if wantsOnlyIPv6 || message.attributes.contains(.additionalAddressFamily) {
                relayed.append(TransportAddress(Self.relayIPv6, port: nextPort))
            }
            nextPort += 1
            clients[source] = Client(
                username: username, relayed: relayed, expires: now + .seconds(Int64(lifetime)))
            return (
                0, relayed.map { .xorRelayedAddress($0) } + [.lifetime(lifetime), .xorMappedAddress(source)]
            )
        case .refresh:
            guard clients[source] != nil else { return (437, []) }
            if message.lifetime == 0 {
                clients[source] = nil
                return (0, [.lifetime(0)])
            }
            clients[source]?.expires = now + .seconds(Int64(lifetime))
            return (0, [.lifetime(lifetime)])
        case .createPermission:
            guard clients[source] != nil else { return (437, []) }
            guard let peer else { return (400, []) }
            guard !refusedPeers.contains(peer.address) else { return (403, []) }
            clients[source]?.permissions[peer.address] = now + .seconds(300)
            return (0, [])
        case .channelBind:
            guard let client = clients[source] else { return (437, []) }
            let number = message.attributes.lazy.compactMap {
                if case .channelNumber(let value) = $0 { value } else { nil }
            }.first
            guard let peer, let number, ChannelNumber.range.contains(number) else { return (400, []) }
            let bound = client.channels.filter { $0.value.until > now }
            if let other = bound[number], other.peer != peer { return (400, []) }
            if bound.contains(where: { $0.key != number && $0.value.peer == peer }) { return (400, []) }
            guard !refusedPeers.contains(peer.address) else { return (403, []) }
            clients[source]?.channels[number] = (peer, now + .seconds(600))
            clients[source]?.permissions[peer.address] = now + .seconds(300)
            return (0, [])
        default:
            return (400, [])
        }
    }

    private func relay(
        _ payload: [UInt8], to peer: TransportAddress, of client: Client, _ now: Instant
    ) -> [Output] {
        guard let until = client.permissions[peer.address], until > now,
            let relayed = client.relayed.first(where: { $0.address.isIPv6 == peer.address.isIPv6 })
        else { return [] }
        return [.peer(from: relayed, to: peer, payload)]
    }

    // MARK: From peers

    /// A datagram that a peer sent to a relayed address.
    func handlePeer(
        _ payload: [UInt8], from peer: TransportAddress, to relayed: TransportAddress, now: Instant
    ) -> [Output] {
        guard let (address, client) = clients.first(where: { $0.value.relayed.contains(relayed) }),
            client.expires > now, let until = client.permissions[peer.address], until > now
        else { return [] }
        if let channel = client.channels.first(where: { $0.value.peer == peer && $0.value.until > now }),
            let number = ChannelNumber(rawValue: channel.key)
        {
            return [.client(address, ChannelData(number: number, payload: payload).encoded(isPadded: true))]
        }
        let id = STUNTransactionID(high: 1, low: 2)
        let message = STUNMessage(
            .indication, method: .data, transactionID: id, attributes: [.xorPeerAddress(peer), .data(payload)])
        return [.client(address, message.encoded(fingerprint: false))]
    }
}
