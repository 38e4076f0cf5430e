import SwarmEngine
import Synchronization

/// From whom to whom.
struct DemoPair: Hashable, Sendable {
    var sender: Int
    var receiver: Int
}

/// What every member sent, received and was told, and when. Figures are made of this alone.
final class DemoLog: Sendable {
    typealias Moment = ContinuousClock.Instant

    /// A message as its receiver got it.
    struct Receipt: Sendable {
        var number: Int
        var at: Moment
        var path: PathKind
    }

    struct Contents: Sendable {
        /// How many messages each sent to each other; they are numbered from 1.
        var sent: [DemoPair: Int] = [:]
        var received: [DemoPair: [Receipt]] = [:]
        /// When the receiver first heard of the sender.
        var discovered: [DemoPair: Moment] = [:]
        /// When the receiver's session with the sender first was on the direct path.
        var direct: [DemoPair: Moment] = [:]
        /// By which path the receiver would answer the sender now.
        var path: [DemoPair: PathKind] = [:]
        /// How many of its messages the receiver told the sender that it has for good.
        var delivered: [DemoPair: Int] = [:]
        var planes: Set<Plane> = []
    }

    private let contents = Mutex(Contents())

    var now: Moment { .now }

    /// A copy of everything so far.
    var snapshot: Contents { contents.withLock { $0 } }

    /// The number for the next message of a pair; `nil` while the sender has not heard of the receiver.
    func nextNumber(_ pair: DemoPair) -> Int? {
        contents.withLock { contents in
            guard contents.discovered[DemoPair(sender: pair.receiver, receiver: pair.sender)] != nil else { return nil }
            contents.sent[pair, default: 0] += 1
            return contents.sent[pair, default: 0]
        }
    }

    /// Notes what `receiver` was told.
    func note(_ event: SwarmEvent, receiver: Int, members: [PeerID: Int]) {
        let now = now
        contents.withLock { contents in
            func pair(_ peer: PeerID) -> DemoPair? { members[peer].map { DemoPair(sender: $0, receiver: receiver) } }
            switch event {
            case .discovered(let peer, let plane):
                guard let pair = pair(peer) else { return }
                contents.discovered[pair] = contents.discovered[pair] ?? now
                contents.planes.insert(plane)
            case .peer(let peer, _, let path), .path(let peer, let path, _):
                guard let pair = pair(peer) else { return }
                contents.path[pair] = path
                if path == .direct { contents.direct[pair] = contents.direct[pair] ?? now }
            case .message(let peer, .text(let text), let path, _):
                guard let pair = pair(peer), let number = text.split(separator: " ").first.flatMap({ Int($0) }) else {
                    return
                }
                contents.received[pair, default: []].append(Receipt(number: number, at: now, path: path))
            case .delivered(let peer, _):
                guard let member = members[peer] else { return }
                contents.delivered[DemoPair(sender: receiver, receiver: member), default: 0] += 1
            case .away(let peer), .left(let peer):
                if let pair = pair(peer) { contents.path[pair] = nil }
            case .message, .stored, .expired, .rejected, .state, .warning: break
            }
        }
    }
}
