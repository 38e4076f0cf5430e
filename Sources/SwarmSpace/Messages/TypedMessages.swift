import Foundation
public import SwarmEngine

/// Messages of the application's own types, as JSON.
extension Swarm {
    /// Sends a value to a member: a binary message that holds it as JSON.
    ///
    /// - Throws: as `send(_:to:)`, and when the value cannot be encoded.
    @discardableResult
    public func send(
        _ value: some Encodable & Sendable, to peer: PeerID, priority: MessagePriority = .normal, ordered: Bool = true,
        deadline: ContinuousClock.Instant? = nil
    ) throws(SwarmError) -> Receipt {
        try send(
            MessageContent(encoding: value), to: peer, priority: priority, ordered: ordered, deadline: deadline)
    }

    /// Sends a value to every member that is here.
    @discardableResult
    public func broadcast(_ value: some Encodable & Sendable) throws(SwarmError) -> [PeerID: UInt64] {
        try broadcast(MessageContent(encoding: value))
    }
}

extension MessageContent {
    /// A value as JSON.
    public init(encoding value: some Encodable) throws(SwarmError) {
        do { self = .binary(Array(try JSONEncoder().encode(value))) } catch {
            throw SwarmError(.notSent, "the value cannot be encoded: \(error)")
        }
    }

    /// The value that a message holds as JSON; `nil` when it holds something else.
    public func decoded<Value: Decodable>(as type: Value.Type = Value.self) -> Value? {
        let data =
            switch self {
            case .text(let text): Data(text.utf8)
            case .binary(let bytes): Data(bytes)
            }
        return try? JSONDecoder().decode(type, from: data)
    }
}
