public import SwarmBase

/// What there is between members beside messages: see ``SwarmEngine/pollExchange()``.
public enum SwarmExchange: Equatable, Sendable {
    /// A member asks for something; answer with `SwarmEngine.answer`.
    case request(from: PeerID, id: UInt64, action: String, payload: [UInt8])
    /// A member does not wait for the answer to a request any more.
    case cancelled(from: PeerID, id: UInt64)
    /// A request of ours has ended.
    case response(from: PeerID, id: UInt64, RequestResult)
    /// A member has opened a byte stream to us.
    case streamOpened(by: PeerID, id: UInt64, name: String, MessagePriority)
    /// There is something to read, or the end.
    case streamReadable(PeerID, id: UInt64)
    /// There is room again, or everything written has come.
    case streamWritable(PeerID, id: UInt64)
    /// A byte stream ended before both directions had come whole.
    case streamEnded(PeerID, id: UInt64, StreamReset)
}

/// Requests and byte streams. They end with the run of either member.
extension SwarmEngine {
    /// The next thing that happened to requests and byte streams.
    public mutating func pollExchange() -> SwarmExchange? {
        settle()
        guard let (peer, exchange) = exchanges.popFirst() else { return nil }
        switch exchange {
        case .request(let id, let action, let payload):
            return .request(from: peer, id: id, action: action, payload: payload)
        case .cancelled(let id): return .cancelled(from: peer, id: id)
        case .response(let id, let result): return .response(from: peer, id: id, result)
        case .streamOpened(let id, let name, let priority):
            return .streamOpened(by: peer, id: id, name: name, priority)
        case .streamReadable(let id): return .streamReadable(peer, id: id)
        case .streamWritable(let id): return .streamWritable(peer, id: id)
        case .streamEnded(let id, let reset): return .streamEnded(peer, id: id, reset)
        }
    }

    private mutating func partner(_ peer: PeerID, now: Instant) throws(SendError) -> Member {
        guard peer != peerID else { throw .ownID }
        guard let member = member(peer, now: now) else { throw .tooManyMembers }
        guard member.refusal == nil, member.refusedUs == nil else { throw .blocked }
        return member
    }

    /// Asks a member to do something; the answer is an ``SwarmExchange/response(from:id:_:)``.
    ///
    /// - Parameters:
    ///   - action: what it is to do, at most 255 bytes of UTF-8.
    ///   - limit: how long the answer is waited for; `nil` for as long as both run.
    /// - Returns: what names the request.
    public mutating func request(
        _ action: String, _ payload: [UInt8], of peer: PeerID, limit: Duration?,
        priority: MessagePriority = .normal, now: Instant
    ) throws(SendError) -> UInt64 {
        let member = try partner(peer, now: now)
        let id = try member.session.request(action, payload, limit: limit, priority, now: now)
        pump(member, now: now)
        return id
    }

    /// Nobody waits for an answer any more; the other is told.
    public mutating func cancelRequest(_ id: UInt64, of peer: PeerID, now: Instant) {
        guard let member = members[peer] else { return }
        member.session.cancel(id)
        pump(member, now: now)
    }

    /// Answers a member's request. An answer that nobody waits for changes nothing.
    public mutating func answer(_ id: UInt64, of peer: PeerID, _ answer: RequestAnswer, now: Instant) {
        guard let member = members[peer] else { return }
        member.session.answer(id, answer)
        pump(member, now: now)
    }

    /// Opens a byte stream to a member.
    ///
    /// - Parameter name: what it is for, at most 255 bytes of UTF-8.
    /// - Returns: what names it.
    public mutating func openStream(
        _ name: String, to peer: PeerID, priority: MessagePriority = .normal, now: Instant
    ) throws(SendError) -> UInt64 {
        let member = try partner(peer, now: now)
        let id = try member.session.openStream(name, priority)
        pump(member, now: now)
        return id
    }

    /// Writes to a byte stream.
    ///
    /// - Returns: how many bytes were taken; if not all, ``SwarmExchange/streamWritable(_:id:)`` tells when there is room.
    ///   `nil` when the stream is over.
    public mutating func write(
        _ bytes: ArraySlice<UInt8>, toStream id: UInt64, of peer: PeerID, now: Instant
    ) -> Int? {
        guard let member = members[peer], let count = member.session.write(bytes, to: id) else { return nil }
        pump(member, now: now)
        return count
    }

    /// Nothing more will be written to a byte stream.
    public mutating func finishStream(_ id: UInt64, of peer: PeerID, now: Instant) {
        guard let member = members[peer] else { return }
        member.session.finish(id)
        pump(member, now: now)
    }

    /// What a byte stream has to read.
    public enum StreamContent: Equatable, Sendable {
        case bytes([UInt8])
        /// Nothing now.
        case nothing
        /// Everything has been read.
        case end
    }

    /// The next bytes of a byte stream.
    ///
    /// - Parameter most: about how many, if there are so many.
    public mutating func readStream(_ id: UInt64, of peer: PeerID, most: Int = 1, now: Instant) -> StreamContent {
        guard let member = members[peer] else { return .end }
        var bytes = member.session.read(id) ?? []
        while bytes.count < most, !bytes.isEmpty, let more = member.session.read(id) { bytes += more }
        if bytes.isEmpty { return member.session.hasReadAll(id) ? .end : .nothing }
        pump(member, now: now)
        return .bytes(bytes)
    }

    /// Whether everything that was written to a byte stream has come, the end too.
    public func hasStreamArrived(_ id: UInt64, of peer: PeerID) -> Bool {
        members[peer]?.session.hasArrived(id) ?? false
    }

    /// Ends a byte stream at once, in both directions.
    public mutating func resetStream(_ id: UInt64, of peer: PeerID, _ code: StreamReset, now: Instant) {
        guard let member = members[peer] else { return }
        member.session.reset(id, code)
        pump(member, now: now)
    }

    /// How many bytes written to a byte stream the other has, and how many have come.
    public func progress(ofStream id: UInt64, of peer: PeerID) -> (acknowledged: UInt64, received: UInt64)? {
        members[peer]?.session.progress(ofStream: id)
    }
}
