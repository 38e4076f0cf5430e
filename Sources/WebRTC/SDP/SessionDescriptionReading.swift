internal import DTLS
internal import ICE
internal import SwarmBase

extension SessionDescription {
    /// Reads a description.
    ///
    /// Tolerant in what does not matter: bare LF, unknown lines and attributes, further sections, candidates that we
    /// cannot use, attributes at session or at media level.
    ///
    /// - Throws: `SDPError` when it describes no data channels, or when what ICE, DTLS and SCTP need is not there.
    public init(kind: Kind, parsing sdp: String, limits: SDPLimits = SDPLimits()) throws(SDPError) {
        let text = try SDPText(sdp, limits: limits)
        guard let index = text.sections.firstIndex(where: Self.isDataSection) else { throw .noDataSection }
        let section = text.sections[index]
        // A section of port 0 is refused, unless it only waits for its bundle (RFC 9143 §6).
        guard section.port != "0" || section.value("bundle-only") != nil else { throw .noDataSection }
        let (form, sctpPort) = try Self.sctp(in: section)
        let mid = section.value("mid").map(String.init)
        let origin = text.origin?.split(separator: " ") ?? []
        let number = { (position: Int) in origin.count > position ? UInt64(origin[position]) ?? 0 : 0 }
        var candidates: [Candidate] = []
        for attribute in section.attributes where attribute.name == "candidate" {
            guard candidates.count < limits.candidates else { break }
            if let candidate = Candidate(sdp: "candidate:\(attribute.value)") { candidates.append(candidate) }
        }
        self.init(
            kind: kind, sessionID: number(1), version: number(2), mid: mid,
            isBundled: Self.isBundled(mid, in: text), credentials: try Self.credentials(of: section, in: text),
            isLite: text.value("ice-lite", in: section) != nil,
            iceOptions: text.values("ice-options", in: section).flatMap { $0.split(separator: " ").map(String.init) },
            fingerprints: try Self.fingerprints(of: section, in: text, limits: limits),
            setup: try Self.setup(of: section, in: text, kind: kind), sctpPort: sctpPort,
            maxMessageSize: try Self.maxMessageSize(of: section),
            takesLargeDatagrams: section.value("x-large-datagrams") != nil, candidates: candidates,
            hasEndOfCandidates: text.value("end-of-candidates", in: section) != nil, form: form,
            otherSections: text.sections.indices.filter { $0 != index }.map { other in
                let section = text.sections[other]
                return OtherSection(
                    index: other, media: String(section.media), transport: String(section.transport),
                    formats: String(section.formats), mid: section.value("mid").map(String.init))
            })
    }

    private static func isDataSection(_ section: SDPText.Section) -> Bool {
        guard section.media == "application" else { return false }
        return ["UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP"].contains(section.transport.uppercased())
    }

    private static func sctp(in section: SDPText.Section) throws(SDPError) -> (SCTPForm, UInt16) {
        let format = section.formats.split(separator: " ").first ?? ""
        if format == "webrtc-datachannel" {
            guard let text = section.value("sctp-port") else { return (.sctpPort, 5000) }
            guard let port = UInt16(text), port != 0 else { throw .invalid("sctp-port") }
            return (.sctpPort, port)
        }
        // `a=sctpmap:5000 webrtc-datachannel 1024`, where 5000 is the format of the `m=` line.
        guard let port = UInt16(format), port != 0 else { throw .noDataSection }
        if let map = section.value("sctpmap") {
            let words = map.split(separator: " ")
            guard words.count >= 2, words[0] == format, words[1] == "webrtc-datachannel" else {
                throw .invalid("sctpmap")
            }
        }
        return (.sctpmap, port)
    }

    private static func isBundled(_ mid: String?, in text: SDPText) -> Bool {
        guard let mid else { return false }
        return text.attributes.contains { attribute in
            guard attribute.name == "group" else { return false }
            let words = attribute.value.split(separator: " ")
            return words.first == "BUNDLE" && words.dropFirst().contains { $0 == mid }
        }
    }

    private static func credentials(
        of section: SDPText.Section, in text: SDPText
    ) throws(SDPError) -> ICECredentials {
        guard let ufrag = text.value("ice-ufrag", in: section) else { throw .missing("ice-ufrag") }
        guard let password = text.value("ice-pwd", in: section) else { throw .missing("ice-pwd") }
        guard let credentials = ICECredentials(ufrag: String(ufrag), password: String(password)) else {
            throw .invalid("ice-ufrag")
        }
        return credentials
    }

    private static func fingerprints(
        of section: SDPText.Section, in text: SDPText, limits: SDPLimits
    ) throws(SDPError) -> [DTLSFingerprint] {
        let lines = text.values("fingerprint", in: section)
        guard !lines.isEmpty else { throw .missing("fingerprint") }
        var fingerprints: [DTLSFingerprint] = []
        for line in lines.prefix(limits.fingerprints) {
            if let fingerprint = DTLSFingerprint(sdp: line) { fingerprints.append(fingerprint) }
        }
        guard !fingerprints.isEmpty else { throw .invalid("fingerprint") }
        return fingerprints
    }

    private static func setup(
        of section: SDPText.Section, in text: SDPText, kind: Kind
    ) throws(SDPError) -> Setup {
        guard let value = text.value("setup", in: section) else { return kind == .offer ? .actpass : .active }
        guard let setup = Setup(rawValue: value.lowercased()), kind == .offer || setup != .actpass else {
            throw .invalid("setup")
        }
        return setup
    }

    private static func maxMessageSize(of section: SDPText.Section) throws(SDPError) -> Int {
        guard let value = section.value("max-message-size") else { return defaultMaxMessageSize }
        guard let size = UInt64(value) else { throw .invalid("max-message-size") }
        return size == 0 ? .max : Int(clamping: size)
    }
}
