/// One way in for bytes of strangers. A run may not trap, hang or break a rule that it states.
public struct FuzzTarget: Sendable {
    /// The name on the command line, and of the folder with its corpus.
    public let name: String
    /// Inputs are not made longer than this.
    public let maximumByteCount: Int
    /// Takes one input from beginning to end; the same input does the same.
    public let run: @Sendable ([UInt8]) throws -> Void

    init(_ name: String, upTo maximumByteCount: Int, _ run: @escaping @Sendable ([UInt8]) throws -> Void) {
        self.name = name
        self.maximumByteCount = maximumByteCount
        self.run = run
    }

    /// Every target, those for single formats first.
    public static let all: [FuzzTarget] = formats + machines

    /// Readers of one format. What is read is written again and read again: nothing may change.
    private static let formats = [
        FuzzTarget("stun", upTo: 2048, fuzzSTUN),
        FuzzTarget("candidate", upTo: 512, fuzzCandidate),
        FuzzTarget("sdp", upTo: 8192, fuzzSessionDescription),
        FuzzTarget("compact", upTo: 1024, fuzzCompactDescription),
        FuzzTarget("server-uri", upTo: 256, fuzzServerURI),
        FuzzTarget("json", upTo: 4096, fuzzJSON),
        FuzzTarget("gun-frame", upTo: 4096, fuzzGunFrame),
        FuzzTarget("sea", upTo: 2048, fuzzSEA),
        FuzzTarget("magnet", upTo: 2048, fuzzMagnetLink),
        FuzzTarget("bencode", upTo: 2048, fuzzBencode),
        FuzzTarget("krpc", upTo: 2048, fuzzKRPC),
    ]

    /// State machines, driven by a script: see ``FuzzInput``.
    private static let machines = [
        FuzzTarget("ice", upTo: 2048, fuzzICEAgent),
        FuzzTarget("turn", upTo: 4096, fuzzTURNClient),
        FuzzTarget("dtls", upTo: 4096, fuzzDTLS),
        FuzzTarget("sctp", upTo: 4096, fuzzAssociation),
        FuzzTarget("dcep", upTo: 2048, fuzzDataChannels),
        FuzzTarget("gun-relay", upTo: 4096, fuzzGunRelay),
        FuzzTarget("gun-client", upTo: 4096, fuzzGunClient),
        FuzzTarget("dht", upTo: 4096, fuzzDHTNode),
        FuzzTarget("tracker-server", upTo: 4096, fuzzTrackerServer),
        FuzzTarget("tracker-client", upTo: 4096, fuzzTrackerClient),
        FuzzTarget("udp-tracker", upTo: 4096, fuzzUDPTracker),
        FuzzTarget("http-tracker", upTo: 4096, fuzzHTTPTracker),
    ]
}

/// A rule that an input broke.
public struct FuzzFinding: Error, CustomStringConvertible {
    public let description: String
}

/// - Throws: a finding when the rule does not hold.
func expect(_ holds: Bool, _ rule: @autoclosure () -> String) throws {
    if !holds { throw FuzzFinding(description: rule()) }
}
