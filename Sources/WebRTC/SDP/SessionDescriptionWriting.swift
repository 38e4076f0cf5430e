internal import DTLS
internal import ICE
internal import SwarmBase

extension SessionDescription {
    /// The text, with CR LF after every line.
    public var sdp: String {
        var lines = [
            "v=0", "o=- \(sessionID) \(version) IN IP4 127.0.0.1", "s=-", "t=0 0",
        ]
        if isBundled, let mid { lines.append("a=group:BUNDLE \(mid)") }
        lines.append("a=msid-semantic: WMS")
        if isLite { lines.append("a=ice-lite") }
        var others = otherSections.sorted { $0.index < $1.index }[...]
        var index = 0
        while let other = others.first, other.index <= index {
            lines += other.lines
            others = others.dropFirst()
            index += 1
        }
        lines += dataLines
        for other in others { lines += other.lines }
        return lines.joined(separator: "\r\n") + "\r\n"
    }

    private var dataLines: [String] {
        let address = defaultAddress
        let port = address?.port ?? 9
        var lines: [String]
        switch form {
        case .sctpPort: lines = ["m=application \(port) UDP/DTLS/SCTP webrtc-datachannel"]
        case .sctpmap: lines = ["m=application \(port) DTLS/SCTP \(sctpPort)"]
        }
        if let address {
            lines.append("c=IN \(address.address.isIPv6 ? "IP6" : "IP4") \(address.address)")
        } else {
            lines.append("c=IN IP4 0.0.0.0")
        }
        lines += candidates.map { "a=\($0.sdp)" }
        if hasEndOfCandidates { lines.append("a=end-of-candidates") }
        lines.append("a=ice-ufrag:\(credentials.ufrag)")
        lines.append("a=ice-pwd:\(credentials.password)")
        if !iceOptions.isEmpty { lines.append("a=ice-options:\(iceOptions.joined(separator: " "))") }
        lines += fingerprints.map { "a=fingerprint:\($0.sdp)" }
        lines.append("a=setup:\(setup.rawValue)")
        if let mid { lines.append("a=mid:\(mid)") }
        switch form {
        case .sctpPort: lines.append("a=sctp-port:\(sctpPort)")
        case .sctpmap: lines.append("a=sctpmap:\(sctpPort) webrtc-datachannel 1024")
        }
        lines.append("a=max-message-size:\(maxMessageSize == .max ? 0 : maxMessageSize)")
        // An attribute of our own: others pass over it (RFC 8866 §5.13).
        if takesLargeDatagrams { lines.append("a=x-large-datagrams") }
        return lines
    }

    /// Where a peer without ICE would send: the candidate most likely to work (RFC 8839 §4.2.1.2), IPv4 first.
    private var defaultAddress: TransportAddress? {
        let order: [CandidateKind] = [.relayed, .serverReflexive, .host]
        for kind in order {
            let some = candidates.filter { $0.kind == kind }
            if let chosen = some.first(where: { !$0.address.address.isIPv6 }) ?? some.first { return chosen.address }
        }
        return nil
    }
}

extension SessionDescription.OtherSection {
    /// The section with port 0: refused.
    fileprivate var lines: [String] {
        var lines = ["m=\(media) 0 \(transport) \(formats)", "c=IN IP4 0.0.0.0"]
        if let mid { lines.append("a=mid:\(mid)") }
        lines.append("a=inactive")
        return lines
    }
}
