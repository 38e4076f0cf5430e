import SwarmBase

/// A packet of what can be left as mail.
struct MailPacket: Equatable, Sendable {
    var bytes: [UInt8] = []
    /// Where it ends in each lane.
    var end: MailCursors
    /// The messages that end in it.
    var messages: [UInt64] = []
}

/// What of a session can be left as mail, and be taken from it.
extension Session {
    /// What mail for a reader may be about, the most urgent first.
    ///
    /// - Parameter knowsLanes: it takes mail of every lane, and knows deadlines.
    private static func lanes(knowsLanes: Bool) -> [Lane] { knowsLanes ? Lane.ofMessages : [.plain] }

    /// Takes what mail brought: it says nothing of paths, nor of where the member is now.
    mutating func receive(mail frames: [Frame], now: Instant) {
        for frame in frames {
            switch frame {
            case .data(let data): receive(data, by: .relay, now: now)
            case .acknowledgement(let acknowledgement): _ = acknowledge(acknowledgement)
            case .confirmed(let lane, let stream, let base): confirm(lane, stream: stream, base: base)
            default: break
            }
        }
    }

    /// Whether there is something to say that was not left yet.
    func hasMail(after cursors: MailCursors, knowsLanes: Bool) -> Bool {
        Self.lanes(knowsLanes: knowsLanes).contains {
            nextInMail($0, after: cursors[$0], knowsDeadlines: knowsLanes) != nil
        }
    }

    private func nextInMail(_ lane: Lane, after cursor: MailCursor, knowsDeadlines: Bool) -> UInt64? {
        let start = cursor.stream == outbounds[lane.index].stream ? cursor.next : 0
        return outbounds[lane.index].nextInMail(
            from: start, knowsDeadlines: knowsDeadlines, knowsLanes: knowsLanes == true)
    }

    /// A packet of what was not left yet, at most `limit` bytes; before what has a deadline stands when that is.
    ///
    /// - Parameter wall: a moment in milliseconds since 1970.
    func mail(
        after cursors: MailCursors, limit: Int, knowsLanes: Bool, wall: (Instant) -> UInt64
    ) -> MailPacket? {
        var packet = MailPacket(end: cursors)
        for lane in Self.lanes(knowsLanes: knowsLanes) {
            var dated: UInt64?
            while let sequence = nextInMail(lane, after: packet.end[lane], knowsDeadlines: knowsLanes),
                let fragment = outbounds[lane.index].fragment(sequence)
            {
                var head: [UInt8] = []
                if knowsLanes, dated != fragment.message,
                    let deadline = outbounds[lane.index].deadline(of: fragment.message)
                {
                    Frame.deadline(message: fragment.message, at: wall(deadline)).write(to: &head)
                    dated = fragment.message
                }
                let size = head.count + outbounds[lane.index].size(of: sequence)
                guard packet.bytes.isEmpty || packet.bytes.count + size <= limit else { return packet }
                packet.bytes += head
                Frame.data(fragment).write(to: &packet.bytes)
                if fragment.flags.contains(.last), !fragment.flags.contains(.withdrawn) {
                    packet.messages.append(fragment.message)
                }
                packet.end[lane] = MailCursor(stream: fragment.stream, next: sequence + 1)
            }
        }
        return packet.bytes.isEmpty ? nil : packet
    }

    /// The bytes of what is before these, and waits for acknowledgement.
    func bytes(leftBefore cursors: MailCursors) -> Int {
        Lane.ofMessages.reduce(0) { sum, lane in
            let outbound = outbounds[lane.index]
            return cursors[lane].stream == outbound.stream ? sum + outbound.size(before: cursors[lane].next) : sum
        }
    }

    /// What is before these has left: whether it expires is for its reader to say.
    mutating func leftAsMail(before cursors: MailCursors) {
        for lane in Lane.ofMessages where cursors[lane].stream == outbounds[lane.index].stream {
            outbounds[lane.index].markSent(before: cursors[lane].next)
        }
    }

    /// A packet that only says how far the member's lanes have come, and which outcomes of ours are known; what is more than
    /// `limit` bytes is not said.
    ///
    /// - Parameter knowsLanes: as for `mail`.
    func acknowledgementPacket(confirming confirmed: Set<Lane>, limit: Int, knowsLanes: Bool) -> [UInt8]? {
        var bytes: [UInt8] = []
        for lane in Self.lanes(knowsLanes: knowsLanes) {
            if confirmed.contains(lane) {
                let outbound = outbounds[lane.index]
                Frame.confirmed(lane, stream: outbound.stream, base: outbound.confirmed).write(to: &bytes)
            }
            guard
                let acknowledgement = inbounds[lane.index].acknowledgement(
                    isPaused: false, knowsLanes: self.knowsLanes ?? false),
                bytes.count + acknowledgement.size <= limit
            else { continue }
            Frame.acknowledgement(acknowledgement).write(to: &bytes)
        }
        return bytes.isEmpty ? nil : bytes
    }

    /// Whether what mail holds comes next, or has come before: what is ahead has to wait.
    func takesMail(_ frames: [Frame]) -> Bool {
        let data = frames.compactMap { if case .data(let data) = $0 { data } else { nil } }
        return Set(data.map(\.lane)).allSatisfy { lane in
            inbounds[lane.index].takes(data.filter { $0.lane == lane })
        }
    }

    /// The streams that taking this would end.
    func supersededStreams(by frames: [Frame]) -> Set<UInt64> {
        var superseded: Set<UInt64> = []
        for case .data(let data) in frames {
            if let present = inbounds[data.lane.index].stream, present != data.stream { superseded.insert(present) }
        }
        return superseded
    }

    /// Whether all of it is noted for good, or of streams that are over.
    func isDurable(_ frames: [Frame]) -> Bool {
        frames.allSatisfy { if case .data(let data) = $0 { inbounds[data.lane.index].isDurable(data) } else { true } }
    }
}

extension [Frame] {
    /// What a reader takes of an item's frames: those of the lanes of messages, and what is past its deadline as withdrawn, as if its writer
    /// had been there to do it (docs/protocol.md, "Items").
    ///
    /// - Parameter wall: the reader's clock, in milliseconds since 1970.
    func ofMail(at wall: UInt64) -> [Frame] {
        var past: Set<UInt64> = []
        return compactMap { frame in
            switch frame {
            case .deadline(let message, let time):
                if time <= wall { past.insert(message) }
                return nil
            case .data(var data) where !data.lane.isControl:
                if past.contains(data.message) {
                    data.flags = data.flags.intersection([.first, .last]).union(.withdrawn)
                    data.payload = []
                }
                return .data(data)
            case .acknowledgement(let acknowledgement) where !acknowledgement.lane.isControl: return frame
            case .confirmed(let lane, _, _) where !lane.isControl: return frame
            default: return nil
            }
        }
    }
}
