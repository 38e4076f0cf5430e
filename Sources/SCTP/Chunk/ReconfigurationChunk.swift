/// A parameter of a RE-CONFIG chunk (RFC 6525 §4).
enum ReconfigurationParameter: Equatable, Sendable {
    /// The sender resets its outgoing streams; an empty list means all of them (§4.1).
    case outgoingReset(request: UInt32, response: UInt32, lastTSN: UInt32, streams: [UInt16])
    /// The sender asks the receiver to reset its outgoing streams, or something else this subset denies (§4.2, §4.3,
    /// §4.5, §4.6).
    case denied(request: UInt32)
    /// The answer to a request (§4.4).
    case response(request: UInt32, result: ReconfigurationResult)
}

/// Result codes of a re-configuration response (RFC 6525 §4.4).
enum ReconfigurationResult: UInt32, Sendable {
    case nothingToDo = 0
    case performed = 1
    case denied = 2
    case wrongStreamSequence = 3
    case requestInProgress = 4
    case badSequenceNumber = 5
    case inProgress = 6
}

/// RE-CONFIG (RFC 6525 §3.1).
struct ReconfigurationChunk: Equatable, Sendable {
    /// At most two, in the combinations of §3.1.
    var parameters: [ReconfigurationParameter] = []

    init(_ parameters: [ReconfigurationParameter]) { self.parameters = parameters }

    /// Reads a chunk of type 130; parameters that are malformed or unknown are left out.
    init(_ chunk: RawChunk, in packet: [UInt8]) {
        var walker = ChunkWalker(packet, in: chunk.value)
        while parameters.count < 2, let (type, value) = walker.nextParameter() {
            let start = value.lowerBound
            switch type {
            case 13 where value.count >= 12:
                let streams = stride(from: start + 12, to: value.upperBound - 1, by: 2).map { packet.uint16(at: $0) }
                parameters.append(
                    .outgoingReset(
                        request: packet.uint32(at: start), response: packet.uint32(at: start + 4),
                        lastTSN: packet.uint32(at: start + 8), streams: streams))
            case 14, 15, 17, 18:
                guard value.count >= 4 else { continue }
                parameters.append(.denied(request: packet.uint32(at: start)))
            case 16 where value.count >= 8:
                guard let result = ReconfigurationResult(rawValue: packet.uint32(at: start + 4)) else { continue }
                parameters.append(.response(request: packet.uint32(at: start), result: result))
            default:
                continue
            }
        }
    }

    /// Appends the chunk.
    func write(to packet: inout [UInt8]) {
        var value: [UInt8] = []
        for parameter in parameters {
            var body: [UInt8] = []
            switch parameter {
            case .outgoingReset(let request, let response, let lastTSN, let streams):
                body.append(uint32: request)
                body.append(uint32: response)
                body.append(uint32: lastTSN)
                for stream in streams { body.append(uint16: stream) }
                value.appendParameter(13, value: body)
            case .denied(let request):
                body.append(uint32: request)
                value.appendParameter(14, value: body)
            case .response(let request, let result):
                body.append(uint32: request)
                body.append(uint32: result.rawValue)
                value.appendParameter(16, value: body)
            }
        }
        // The chunk's length leaves out the padding of its last parameter (RFC 9260 §3.2): a list of an odd number
        // of streams ends two bytes before the border.
        packet.append(ChunkType.reconfiguration.rawValue)
        packet.append(0)
        packet.append(uint16: UInt16(4 + value.count - Self.padding(of: parameters.last)))
        packet.append(contentsOf: value)
    }

    private static func padding(of parameter: ReconfigurationParameter?) -> Int {
        if case .outgoingReset(_, _, _, let streams)? = parameter, streams.count & 1 == 1 { 2 } else { 0 }
    }
}
