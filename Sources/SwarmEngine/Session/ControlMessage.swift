import SwarmBase

/// What members say to each other beside messages, in the control lanes (docs/protocol.md, "Requests" and "Byte streams").
enum ControlMessage: Equatable, Sendable {
    case request(id: UInt64, limit: Duration?, action: String, payload: [UInt8])
    case response(id: UInt64, status: UInt8, payload: [UInt8])
    case cancel(id: UInt64)
    case open(id: UInt64, limit: UInt64, name: String)
    case finished(id: UInt64)
    case reset(id: UInt64, code: UInt32)

    /// The longest name of an action or a stream, in bytes of UTF-8.
    static let longestName = 255

    var bytes: [UInt8] {
        var writer = ByteWriter()
        switch self {
        case .request(let id, let limit, let action, let payload):
            writer.bytes.reserveCapacity(payload.count + 300)
            writer.integer(UInt8(1))
            writer.integer(id)
            writer.integer(limit.map { UInt32(clamping: max(1, Int64($0.milliseconds.rounded(.up)))) } ?? 0)
            writer.prefixed(by: UInt8.self, Array(action.utf8.prefix(Self.longestName)))
            writer.append(payload)
        case .response(let id, let status, let payload):
            writer.bytes.reserveCapacity(payload.count + 10)
            writer.integer(UInt8(2))
            writer.integer(id)
            writer.integer(status)
            writer.append(payload)
        case .cancel(let id):
            writer.integer(UInt8(3))
            writer.integer(id)
        case .open(let id, let limit, let name):
            writer.integer(UInt8(4))
            writer.integer(id)
            writer.integer(limit)
            writer.prefixed(by: UInt8.self, Array(name.utf8.prefix(Self.longestName)))
        case .finished(let id):
            writer.integer(UInt8(5))
            writer.integer(id)
        case .reset(let id, let code):
            writer.integer(UInt8(6))
            writer.integer(id)
            writer.integer(code)
        }
        return writer.bytes
    }

    /// - Returns: `nil` for what is malformed, or of a later version.
    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let kind: UInt8 = reader.integer(), let id: UInt64 = reader.integer() else { return nil }
        switch kind {
        case 1:
            guard let limit: UInt32 = reader.integer(), let action = reader.prefixed(by: UInt8.self) else { return nil }
            self = .request(
                id: id, limit: limit == 0 ? nil : .milliseconds(limit), action: String(decoding: action, as: UTF8.self),
                payload: reader.rest())
        case 2:
            guard let status: UInt8 = reader.integer() else { return nil }
            self = .response(id: id, status: status, payload: reader.rest())
        case 3: self = .cancel(id: id)
        case 4:
            guard let limit: UInt64 = reader.integer(), let name = reader.prefixed(by: UInt8.self) else { return nil }
            self = .open(id: id, limit: limit, name: String(decoding: name, as: UTF8.self))
        case 5: self = .finished(id: id)
        case 6:
            guard let code: UInt32 = reader.integer() else { return nil }
            self = .reset(id: id, code: code)
        default: return nil
        }
    }
}

/// How a request ended.
public enum RequestResult: Equatable, Sendable {
    case answered([UInt8])
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
    /// The conversation ended: the other left or runs anew, or one of the two does not want it any more.
    case interrupted
    /// The other knows no requests.
    case unsupported

    init(status: UInt8, payload: [UInt8]) {
        switch status {
        case 0: self = .answered(payload)
        case 2: self = .unknownAction
        case 3: self = .refused(String(decoding: payload, as: UTF8.self))
        case 4: self = .busy
        default: self = .failed(String(decoding: payload, as: UTF8.self))
        }
    }
}

/// How a request is answered.
public enum RequestAnswer: Equatable, Sendable {
    case result([UInt8])
    case failed(String)
    case unknownAction
    case refused(String)

    var status: UInt8 {
        switch self {
        case .result: 0
        case .failed: 1
        case .unknownAction: 2
        case .refused: 3
        }
    }

    var payload: [UInt8] {
        switch self {
        case .result(let bytes): bytes
        case .failed(let text), .refused(let text): Array(text.utf8)
        case .unknownAction: []
        }
    }
}

/// Why a byte stream ended before both directions had come whole.
public struct StreamReset: RawRepresentable, Error, Hashable, Sendable {
    public var rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Nobody wants it any more.
    public static let unwanted = StreamReset(rawValue: 0)
    /// Nobody takes streams there, or none of that name.
    public static let refused = StreamReset(rawValue: 1)
    /// The other did what the protocol forbids.
    public static let violation = StreamReset(rawValue: 2)
    /// There are too many.
    public static let tooMany = StreamReset(rawValue: 3)
    /// The conversation ended: the other left or runs anew. Never sent.
    public static let interrupted = StreamReset(rawValue: 254)
    /// The other knows no streams. Never sent.
    public static let unsupported = StreamReset(rawValue: 255)
    /// The first of the codes that are the application's own.
    public static let firstOfApplication: UInt32 = 256
}
