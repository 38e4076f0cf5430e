import SwarmBase

/// What a tracker sends, put together from pieces of a client's message, as they came, and of its own.
struct ServerFrames {
    /// What every message of this swarm begins with.
    private let beginning: [UInt8]
    /// The client's message, and where its peer id is.
    private let source: [UInt8]
    private let peerID: Range<Int>

    /// - Parameter message: one with an info-hash.
    init(for message: ClientMessage) {
        source = message.frame
        peerID = message.peerIDPlace
        var frame: [UInt8] = []
        frame.reserveCapacity(192)
        frame.append(#"{"action":"announce","info_hash":"#)
        frame.append(contentsOf: message.frame[message.infoHashPlace])
        beginning = frame
    }

    /// The reply to an announce.
    func reply(interval: Int64, complete: Int, incomplete: Int) -> [UInt8] {
        var frame = beginning
        frame.append(#","interval":"#)
        frame.append(decimal: Int(interval))
        frame.append(#","complete":"#)
        frame.append(decimal: complete)
        frame.append(#","incomplete":"#)
        frame.append(decimal: incomplete)
        frame.append("}")
        return frame
    }

    /// The sender's offer or answer for another.
    func signal(_ kind: StaticString, _ place: Range<Int>, id: Range<Int>) -> [UInt8] {
        var frame: [UInt8] = []
        frame.reserveCapacity(beginning.count + peerID.count + id.count + place.count + 64)
        frame.append(contentsOf: beginning)
        frame.append(#","peer_id":"#)
        frame.append(contentsOf: source[peerID])
        frame.append(#","offer_id":"#)
        frame.append(contentsOf: source[id])
        frame.append(",\"")
        frame.append(kind)
        frame.append("\":")
        frame.append(contentsOf: source[place])
        frame.append("}")
        return frame
    }
}

extension [UInt8] {
    fileprivate mutating func append(_ text: StaticString) {
        // What the compiler has put into the program.
        unsafe append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    fileprivate mutating func append(decimal number: Int) { append(contentsOf: String(number).utf8) }
}
