public import JSON

/// What one text frame turned out to be.
public enum GunFrame: Equatable, Sendable {
    /// Messages, with how many were not messages and were left out.
    case messages([GunMessage], dropped: Int)
    /// `[]`, the heartbeat.
    case heartbeat
    /// Text that starts with neither `{` nor `[`.
    case foreign
    /// Not JSON, or over a limit.
    case broken(JSONError)

    /// Reads a frame: one message, or a batch of messages or of JSON texts of messages.
    public init(parsing bytes: [UInt8], limits: GunLimits) {
        guard bytes.first == UInt8(ascii: "{") || bytes.first == UInt8(ascii: "[") else {
            self = .foreign
            return
        }
        let json: JSONValue
        do throws(JSONError) {
            json = try JSONValue(parsing: bytes, limits: limits.frame)
        } catch {
            self = .broken(error)
            return
        }
        guard let batch = json.array else {
            let message = GunMessage(json, limits: limits)
            self = .messages(message.map { [$0] } ?? [], dropped: message == nil ? 1 : 0)
            return
        }
        if batch.isEmpty {
            self = .heartbeat
            return
        }
        let messages = batch.prefix(limits.messages).compactMap { element -> GunMessage? in
            guard case .text(let text) = element else { return GunMessage(element, limits: limits) }
            return (try? JSONValue(parsing: text.utf8, limits: limits.frame))
                .flatMap { GunMessage($0, limits: limits) }
        }
        self = .messages(messages, dropped: batch.count - messages.count)
    }

    /// Several messages as one frame: a batch, or the bare message when there is but one.
    static func batch(_ messages: [[UInt8]]) -> [UInt8] {
        if messages.count == 1 { return messages[0] }
        var output: [UInt8] = []
        output.reserveCapacity(messages.reduce(2) { $0 + $1.count + 1 })
        output.append(UInt8(ascii: "["))
        for (place, message) in messages.enumerated() {
            if place > 0 { output.append(UInt8(ascii: ",")) }
            output.append(contentsOf: message)
        }
        output.append(UInt8(ascii: "]"))
        return output
    }

    static let heartbeatBytes = Array("[]".utf8)
}
