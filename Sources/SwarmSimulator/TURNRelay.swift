internal import ICE
public import SwarmBase

/// A TURN server for a ``VirtualNetwork`` (RFC 8656): Allocate, Refresh, CreatePermission, ChannelBind, Send and Data.
///
/// It asks for no password: proving one is what tests against a real server are for. One host runs it: the owner hands
/// in what comes to its port, to its relayed ports and on its streams, and sends what comes out.
public struct TURNRelay: Sendable {
    /// Whom an allocation belongs to.
    public enum Client: Hashable, Sendable {
        case datagrams(TransportAddress)
        case stream(VirtualNetwork.StreamID)
    }

    /// What is to be sent.
    public enum Output: Hashable, Sendable {
        case client(Client, [UInt8])
        /// From a relayed port to a peer.
        case peer([UInt8], fromPort: UInt16, to: TransportAddress)
    }

    private struct Allocation: Sendable {
        let port: UInt16
        var permissions: Set<IPAddress> = []
        var channels: [UInt16: TransportAddress] = [:]
    }

    private let address: IPAddress
    private var nextPort: UInt16 = 50_000
    private var allocations: [Client: Allocation] = [:]
    private var clients: [UInt16: Client] = [:]

    /// - Parameter address: the host's, where relayed ports are.
    public init(address: IPAddress) { self.address = address }

    /// Whether a port of the host is a relayed one.
    public func owns(port: UInt16) -> Bool { clients[port] != nil }

    /// Takes a datagram to the server's port, or a message on a stream.
    public mutating func handle(_ bytes: [UInt8], from client: Client) -> [Output] {
        if let first = bytes.first, (64...79).contains(first) {
            var reader = ByteReader(bytes)
            guard let number = reader.integer(UInt16.self), let payload = reader.prefixed(by: UInt16.self),
                let allocation = allocations[client], let peer = allocation.channels[number]
            else { return [] }
            return [.peer(payload, fromPort: allocation.port, to: peer)]
        }
        guard let received = try? ReceivedSTUNMessage(parsing: bytes) else { return [] }
        let message = received.message
        var peer: TransportAddress?
        var payload: [UInt8] = []
        var channel: UInt16?
        var lifetime: UInt32 = 600
        for attribute in message.attributes {
            switch attribute {
            case .xorPeerAddress(let address): peer = address
            case .data(let bytes): payload = bytes
            case .channelNumber(let number): channel = number
            case .lifetime(let seconds): lifetime = seconds
            default: break
            }
        }
        switch (message.messageClass, message.method) {
        case (.indication, .send):
            guard let peer, let allocation = allocations[client], allocation.permissions.contains(peer.address) else {
                return []
            }
            return [.peer(payload, fromPort: allocation.port, to: peer)]
        case (.request, .binding):
            guard case .datagrams(let source) = client else { return [] }
            return STUNBindingServer.respond(to: bytes, from: source).map { [.client(client, $0)] } ?? []
        case (.request, _):
            let result = perform(message.method, peer, channel, lifetime, for: client)
            let answer =
                result.map {
                    STUNMessage(
                        .success, method: message.method, transactionID: message.transactionID, attributes: $0)
                }
                ?? STUNMessage(
                    .error, method: message.method, transactionID: message.transactionID,
                    attributes: [.errorCode(437, reason: "")])
            return [.client(client, answer.encoded())]
        default:
            return []
        }
    }

    /// The attributes of the answer; `nil` for an error.
    private mutating func perform(
        _ method: STUNMethod, _ peer: TransportAddress?, _ channel: UInt16?, _ lifetime: UInt32, for client: Client
    ) -> [STUNAttribute]? {
        if method == .allocate {
            guard allocations[client] == nil else { return nil }
            allocations[client] = Allocation(port: nextPort)
            clients[nextPort] = client
            defer { nextPort += 1 }
            let unknown = TransportAddress(address, port: 9)
            let mapped = if case .datagrams(let source) = client { source } else { unknown }
            return [
                .xorRelayedAddress(TransportAddress(address, port: nextPort)), .lifetime(600),
                .xorMappedAddress(mapped),
            ]
        }
        guard let allocation = allocations[client] else { return nil }
        switch method {
        case .refresh:
            if lifetime == 0 {
                allocations[client] = nil
                clients[allocation.port] = nil
            }
            return [.lifetime(lifetime)]
        case .createPermission:
            guard let peer else { return nil }
            allocations[client]?.permissions.insert(peer.address)
            return []
        case .channelBind:
            guard let peer, let channel else { return nil }
            allocations[client]?.permissions.insert(peer.address)
            allocations[client]?.channels[channel] = peer
            return []
        default:
            return nil
        }
    }

    /// Takes a datagram that a peer sent to a relayed port.
    public func handle(_ payload: [UInt8], from peer: TransportAddress, toPort port: UInt16) -> [Output] {
        guard let client = clients[port], let allocation = allocations[client],
            allocation.permissions.contains(peer.address)
        else { return [] }
        if let channel = allocation.channels.first(where: { $0.value == peer }) {
            var writer = ByteWriter(capacity: payload.count + 7)
            writer.integer(channel.key)
            writer.prefixed(by: UInt16.self, payload)
            writer.append(repeatElement(0, count: (4 - payload.count % 4) % 4))
            return [.client(client, writer.bytes)]
        }
        guard let id = STUNTransactionID(bytes: [UInt8](repeating: 7, count: 12)) else { return [] }
        let message = STUNMessage(
            .indication, method: .data, transactionID: id, attributes: [.xorPeerAddress(peer), .data(payload)])
        return [.client(client, message.encoded(fingerprint: false))]
    }
}
