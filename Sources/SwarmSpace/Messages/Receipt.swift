public import SwarmEngine

/// What `Swarm.send` returns: names a message, and tells what becomes of it.
///
/// ```swift
/// let receipt = try await swarm.send("tea is ready", to: peer, priority: .high, deadline: .now + .seconds(5))
/// switch try await receipt.outcome() {
/// case .delivered: print("read it")
/// case .expired: print("too late")
/// case .rejected(let reason): print("not taken: \(reason)")
/// }
/// ```
///
/// Nobody needs to keep it: `Swarm.events` tells the same.
public final class Receipt: Sendable {
    /// To whom the message goes.
    public let peer: PeerID
    /// The message's number among those to this member.
    public let number: UInt64
    let result = OneShot<MessageOutcome>()

    init(peer: PeerID, number: UInt64) {
        self.peer = peer
        self.number = number
    }

    /// What became of the message; `nil` while that is not known.
    public var knownOutcome: MessageOutcome? { result.value }

    /// Waits until it is known what became of the message.
    ///
    /// - Throws: `CancellationError` when the task is cancelled; `SwarmError` when the swarm is left before. What was kept in a
    ///   data directory goes out at the next start then.
    public func outcome() async throws -> MessageOutcome { try await result.get() }
}

/// The receipts of messages that wait. They are not kept alive.
struct Receipts {
    private struct Entry { weak var receipt: Receipt? }

    private var entries: [PeerID: [UInt64: Entry]] = [:]

    mutating func add(_ receipt: Receipt) {
        entries[receipt.peer, default: [:]][receipt.number] = Entry(receipt: receipt)
    }

    mutating func settle(_ peer: PeerID, _ number: UInt64, _ outcome: MessageOutcome) {
        entries[peer]?.removeValue(forKey: number)?.receipt?.result.resolve(.success(outcome))
        if entries[peer]?.isEmpty == true { entries[peer] = nil }
    }

    mutating func close() {
        for entry in entries.values.flatMap(\.values) { entry.receipt?.result.resolve(.failure(SwarmError.hasLeft)) }
        entries = [:]
    }
}
