import Foundation
public import SwarmEngine

/// Something that one member asks another to do, with what it answers.
///
/// ```swift
/// struct Sum: SwarmAction {
///     static let name = "sum"
///     var numbers: [Int]
///     typealias Response = Int
/// }
/// await swarm.handle(Sum.self) { sum, peer in sum.numbers.reduce(0, +) }
/// let six = try await swarm.request(Sum(numbers: [1, 2, 3]), of: peer, timeout: .seconds(2))
/// ```
public protocol SwarmAction: Codable, Sendable {
    /// What the answer is.
    associatedtype Response: Codable & Sendable
    /// What members call it; at most 255 bytes of UTF-8.
    static var name: String { get }
}

/// Why a request has no answer.
public enum RequestError: Error, Equatable, Sendable {
    /// The action failed there, with what it says.
    case failed(String)
    /// There is no such action there.
    case unknownAction
    /// The other's application refused, with what it says.
    case refused(String)
    /// The other has too much to answer.
    case busy
    /// No answer came in time.
    case timedOut
    /// The conversation ended: the other left or runs anew.
    case interrupted
    /// The other knows no requests.
    case unsupported
    /// The answer is not of the type that was expected.
    case malformed
}

extension RequestResult {
    fileprivate func get() throws(RequestError) -> [UInt8] {
        switch self {
        case .answered(let bytes): return bytes
        case .failed(let text): throw .failed(text)
        case .unknownAction: throw .unknownAction
        case .refused(let text): throw .refused(text)
        case .busy: throw .busy
        case .timedOut: throw .timedOut
        case .interrupted: throw .interrupted
        case .unsupported: throw .unsupported
        }
    }
}

/// To be thrown by a handler that does not want to do what it is asked for: the other gets `RequestError.refused`.
public struct ActionRefusal: Error, Equatable, Sendable {
    public var reason: String

    public init(_ reason: String) { self.reason = reason }
}

/// Requests: one member asks, the other answers, once.
extension Swarm {
    /// Does what members ask for under a name from now on; a later handler replaces an earlier one.
    ///
    /// The task of a handler is cancelled when nobody waits for its answer any more.
    public func handle(
        _ action: String, _ handler: @escaping @Sendable (_ payload: [UInt8], _ peer: PeerID) async throws -> [UInt8]
    ) throws(SwarmError) {
        try running().exchanges.handlers[action] = handler
    }

    /// Does what members ask for by an action from now on.
    public func handle<Action: SwarmAction>(
        _: Action.Type,
        _ handler: @escaping @Sendable (_ action: Action, _ peer: PeerID) async throws -> Action.Response
    ) throws(SwarmError) {
        try handle(Action.name) { payload, peer in
            guard let action = try? JSONDecoder().decode(Action.self, from: Data(payload)) else {
                throw ActionRefusal("this is no \(Action.name)")
            }
            return try Array(JSONEncoder().encode(await handler(action, peer)))
        }
    }

    /// Asks a member to do something.
    ///
    /// When the task is cancelled the other is told, and its handler is cancelled too.
    ///
    /// - Parameter timeout: how long the answer is waited for; `nil` for as long as both run.
    /// - Throws: `RequestError`; `SwarmError` when it could not be sent; `CancellationError`.
    public func request(
        _ action: String, _ payload: [UInt8], of peer: PeerID, timeout: Duration? = .seconds(30),
        priority: MessagePriority = .normal
    ) async throws -> [UInt8] {
        let node = try running()
        let answer = OneShot<RequestResult>()
        let id: UInt64
        do {
            id = try node.engine.request(action, payload, of: peer, limit: timeout, priority: priority, now: node.now)
        } catch { throw SwarmError(error, to: peer) }
        node.exchanges.asked[ExchangeKey(peer: peer, id: id)] = answer
        node.drainSoon()
        let result: RequestResult
        do { result = try await answer.get() } catch {
            self.cancelRequest(id, of: peer)
            throw error
        }
        return try result.get()
    }

    private func cancelRequest(_ id: UInt64, of peer: PeerID) {
        guard let node = try? running() else { return }
        node.exchanges.asked[ExchangeKey(peer: peer, id: id)] = nil
        node.engine.cancelRequest(id, of: peer, now: node.now)
        node.drain()
    }

    /// Asks a member to perform an action.
    ///
    /// - Throws: as `request(_:_:of:timeout:priority:)`.
    public func request<Action: SwarmAction>(
        _ action: Action, of peer: PeerID, timeout: Duration? = .seconds(30), priority: MessagePriority = .normal
    ) async throws -> Action.Response {
        let payload = try Array(JSONEncoder().encode(action))
        let answer = try await request(Action.name, payload, of: peer, timeout: timeout, priority: priority)
        do { return try JSONDecoder().decode(Action.Response.self, from: Data(answer)) } catch {
            throw RequestError.malformed
        }
    }
}
