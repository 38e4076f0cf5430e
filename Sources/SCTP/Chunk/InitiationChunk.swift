/// INIT and INIT ACK (RFC 9260 §3.3.2, §3.3.3).
struct InitiationChunk: Equatable, Sendable {
    var tag: UInt32
    /// The sender's receive window in bytes.
    var window: UInt32
    var outboundStreams: UInt16
    var inboundStreams: UInt16
    var initialTSN: UInt32
    var supportsForwardTSN = false
    var supportsReconfiguration = false
    /// I-DATA and I-FORWARD-TSN are both listed (RFC 8260 §2.2.1).
    var supportsInterleaving = false
    /// The sender takes packets without a checksum, because DTLS carries them (RFC 9653 §4).
    var acceptsZeroChecksum = false
    /// The state cookie; only an INIT ACK has one.
    var cookie: [UInt8]?
    /// Whole parameters (header included) whose type asks to be reported.
    var unrecognised: [[UInt8]] = []

    /// Parameter types (RFC 9260 §3.3.2.1, §3.3.3.1, RFC 3758 §3.1, RFC 5061 §4.2.7, RFC 9653 §4, RFC 4895, RFC 3168).
    enum Parameter {
        static let stateCookie: UInt16 = 7
        static let unrecognised: UInt16 = 8
        static let forwardTSNSupported: UInt16 = 0xc000
        static let supportedExtensions: UInt16 = 0x8008
        static let zeroChecksumAcceptable: UInt16 = 0x8001
        /// Known, and of no meaning to a single-homed association inside DTLS.
        static let skipped: Set<UInt16> = [
            5, 6, 9, 11, 12, 0x8000, 0x8002, 0x8003, 0x8004, 0xc001, 0xc002, 0xc003, 0xc004, 0xc005, 0xc006,
        ]
        /// The error detection method "SCTP over DTLS" (RFC 9653 §4.1).
        static let overDTLS: UInt32 = 1
    }

    init(
        tag: UInt32, window: UInt32, outboundStreams: UInt16, inboundStreams: UInt16, initialTSN: UInt32,
        supportsForwardTSN: Bool = true, supportsReconfiguration: Bool = true, supportsInterleaving: Bool = false,
        acceptsZeroChecksum: Bool = false, cookie: [UInt8]? = nil, unrecognised: [[UInt8]] = []
    ) {
        self.tag = tag
        self.window = window
        self.outboundStreams = outboundStreams
        self.inboundStreams = inboundStreams
        self.initialTSN = initialTSN
        self.supportsForwardTSN = supportsForwardTSN
        self.supportsReconfiguration = supportsReconfiguration
        self.supportsInterleaving = supportsInterleaving
        self.acceptsZeroChecksum = acceptsZeroChecksum
        self.cookie = cookie
        self.unrecognised = unrecognised
    }

    /// Reads a chunk of type 1 or 2.
    ///
    /// - Returns: `nil` when it is cut short, its tag is 0 or it has no streams (RFC 9260 §3.3.2).
    init?(_ chunk: RawChunk, in packet: [UInt8]) {
        guard chunk.value.count >= 16 else { return nil }
        let start = chunk.value.lowerBound
        tag = packet.uint32(at: start)
        window = packet.uint32(at: start + 4)
        outboundStreams = packet.uint16(at: start + 8)
        inboundStreams = packet.uint16(at: start + 10)
        initialTSN = packet.uint32(at: start + 12)
        guard tag != 0, outboundStreams > 0, inboundStreams > 0 else { return nil }
        var walker = ChunkWalker(packet, in: start + 16..<chunk.value.upperBound)
        reading: while let (type, value) = walker.nextParameter() {
            switch type {
            case Parameter.stateCookie:
                cookie = Array(packet[value])
            case Parameter.forwardTSNSupported:
                supportsForwardTSN = true
            case Parameter.supportedExtensions:
                let listed = packet[value]
                if listed.contains(ChunkType.forwardTSN.rawValue) { supportsForwardTSN = true }
                if listed.contains(ChunkType.reconfiguration.rawValue) { supportsReconfiguration = true }
                if listed.contains(ChunkType.interleavedData.rawValue),
                    listed.contains(ChunkType.interleavedForwardTSN.rawValue)
                {
                    supportsInterleaving = true
                }
            case Parameter.zeroChecksumAcceptable:
                if value.count >= 4, packet.uint32(at: value.lowerBound) == Parameter.overDTLS {
                    acceptsZeroChecksum = true
                }
            case _ where Parameter.skipped.contains(type):
                continue
            default:
                let action = UnknownTypeAction(parameterType: type)
                // A handful is enough to tell the peer; more would only make our answer larger than its question.
                if action.reports, unrecognised.count < 8, value.count <= 64 {
                    unrecognised.append(Array(packet[value.lowerBound - 4..<value.upperBound]))
                }
                if !action.continues { break reading }
            }
        }
    }

    /// Appends the chunk as `type` (INIT or INIT ACK).
    func write(to packet: inout [UInt8], as type: ChunkType) {
        var value: [UInt8] = []
        value.append(uint32: tag)
        value.append(uint32: window)
        value.append(uint16: outboundStreams)
        value.append(uint16: inboundStreams)
        value.append(uint32: initialTSN)
        if let cookie { value.appendParameter(Parameter.stateCookie, value: cookie) }
        var extensions: [UInt8] = []
        if supportsForwardTSN {
            value.appendParameter(Parameter.forwardTSNSupported)
            extensions.append(ChunkType.forwardTSN.rawValue)
        }
        if supportsReconfiguration { extensions.insert(ChunkType.reconfiguration.rawValue, at: 0) }
        if supportsInterleaving {
            extensions += [ChunkType.interleavedData.rawValue, ChunkType.interleavedForwardTSN.rawValue]
        }
        if !extensions.isEmpty { value.appendParameter(Parameter.supportedExtensions, value: extensions) }
        if acceptsZeroChecksum {
            var method: [UInt8] = []
            method.append(uint32: Parameter.overDTLS)
            value.appendParameter(Parameter.zeroChecksumAcceptable, value: method)
        }
        for parameter in unrecognised { value.appendParameter(Parameter.unrecognised, value: parameter) }
        packet.appendChunk(type, value: value)
    }
}
