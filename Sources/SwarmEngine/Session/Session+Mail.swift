import SwarmBase

/// What of a session can be left as mail, and be taken from it.
extension Session {
    /// Whether there is something to say that was not left yet.
    func hasMail(after cursor: MailCursor) -> Bool { outbound.fragment(start(cursor)) != nil }

    private func start(_ cursor: MailCursor) -> UInt64 {
        cursor.stream == outbound.stream ? max(cursor.next, outbound.base) : outbound.base
    }

    /// A packet of what was not left yet, at most `limit` bytes, with where it ends and the messages that end in it.
    func mail(
        after cursor: MailCursor, limit: Int
    ) -> (bytes: [UInt8], end: MailCursor, messages: [UInt64])? {
        var sequence = start(cursor)
        var bytes: [UInt8] = []
        var messages: [UInt64] = []
        while let fragment = outbound.fragment(sequence) {
            guard bytes.isEmpty || bytes.count + outbound.size(of: sequence) <= limit else { break }
            Frame.data(fragment).write(to: &bytes)
            if fragment.flags.contains(.last) { messages.append(fragment.message) }
            sequence += 1
        }
        guard !bytes.isEmpty else { return nil }
        return (bytes, MailCursor(stream: outbound.stream, next: sequence), messages)
    }

    /// What is before this has left: whether it expires is for its reader to say.
    mutating func leftAsMail(before sequence: UInt64) { outbounds[0].markSent(before: sequence) }

    /// A packet that only says how far the member's stream has come.
    func acknowledgementPacket() -> [UInt8]? {
        guard let acknowledgement = inbound.acknowledgement(isPaused: false) else { return nil }
        var bytes: [UInt8] = []
        Frame.acknowledgement(acknowledgement).write(to: &bytes)
        return bytes
    }

    /// Whether what mail holds comes next, or has come before: what is ahead has to wait.
    func takesMail(_ frames: [Frame]) -> Bool {
        for case .data(let data) in frames {
            let isKnown = data.stream == inbound.stream && data.base <= inbound.expected
            return data.sequence <= (isKnown ? inbound.expected : data.base)
        }
        return true
    }

    /// The stream that taking this would end.
    func supersededStream(by frames: [Frame]) -> UInt64? {
        guard let present = inbound.stream else { return nil }
        let isOther = frames.contains { if case .data(let data) = $0 { data.stream != present } else { false } }
        return isOther ? present : nil
    }

    /// Whether all of it is noted for good, or of a stream that is over.
    func isDurable(_ frames: [Frame]) -> Bool {
        frames.allSatisfy {
            guard case .data(let data) = $0, data.stream == inbound.stream else { return true }
            return data.sequence < inbound.committed
        }
    }
}
