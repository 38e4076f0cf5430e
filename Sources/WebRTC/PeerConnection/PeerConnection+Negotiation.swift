internal import DTLS
internal import ICE
internal import SCTP
public import SwarmBase

/// Offers and answers (RFC 9429 §5, for one data section).
extension PeerConnection {
    /// Makes an offer, which is in force at once; an earlier one that was not answered is void.
    ///
    /// - Parameter restart: ask for an ICE restart: new credentials, while the old path carries on (RFC 8839 §4.4.1.1.1).
    public mutating func createOffer(restart: Bool = false, now: Instant) throws(PeerConnectionError)
        -> SessionDescription
    {
        guard state != .closed else { throw .closed }
        self.now = now
        if restart, remoteDescription != nil { ice.restart(now: now) }
        signaling = .haveLocalOffer
        let offer = describe(.offer, setup: .actpass)
        settle()
        return offer
    }

    /// Takes the peer's offer and makes the answer, which is in force at once.
    ///
    /// A further offer with other ICE credentials is a restart; one with another certificate begins DTLS and SCTP anew, and
    /// all channels close. The same offer again gives the same answer in a new version.
    public mutating func accept(offer: SessionDescription, now: Instant) throws(PeerConnectionError)
        -> SessionDescription
    {
        guard state != .closed else { throw .closed }
        guard offer.kind == .offer else { throw .wrongKind }
        self.now = now
        if remoteDescription == nil {
            // The offerer controls (RFC 8445 §6.1.1), unless it is a lite agent, which cannot.
            ice.setRole(offer.isLite ? .controlling : .controlled)
        } else if isAnotherPeer(offer) {
            resetTransports()
        }
        let role = dtlsRole ?? (offer.setup == .active ? .server : .client)
        switch (role, offer.setup) {
        case (.client, .active), (.server, .passive): throw .roleConflict
        default: break
        }
        signaling = .stable
        try applyRemote(offer, role: role)
        let answer = describe(.answer, setup: role == .client ? .active : .passive, to: offer)
        settle()
        return answer
    }

    /// Takes the peer's answer to the last offer.
    public mutating func accept(answer: SessionDescription, now: Instant) throws(PeerConnectionError) {
        guard state != .closed else { throw .closed }
        guard answer.kind == .answer else { throw .wrongKind }
        guard case .haveLocalOffer = signaling else { throw .unexpectedAnswer }
        self.now = now
        if remoteDescription != nil, isAnotherPeer(answer) { resetTransports() }
        // While one DTLS association goes on, so do its roles, whatever a later answer says: Firefox, once the passive side,
        // answers a restart with `active` and means nothing by it.
        let role = dtlsRole ?? (answer.setup == .passive ? .client : .server)
        signaling = .stable
        try applyRemote(answer, role: role)
        settle()
    }

    /// Whether a description names none of the certificates that the peer's last one named.
    private func isAnotherPeer(_ description: SessionDescription) -> Bool {
        if let matches = dtls?.peerCertificateMatches(description.fingerprints) { return !matches }
        guard let before = remoteDescription?.fingerprints else { return false }
        return !description.fingerprints.contains { before.contains($0) }
    }

    private mutating func applyRemote(
        _ description: SessionDescription, role: DTLSTransport.Role
    ) throws(PeerConnectionError) {
        dtlsRole = role
        remoteDescription = description
        ice.setRemote(credentials: description.credentials, isLite: description.isLite, now: now)
        for candidate in description.candidates { ice.addRemoteCandidate(candidate, now: now) }
        // Without trickle in the options the peer has said all it has (RFC 8838 §4.1).
        if description.hasEndOfCandidates { ice.endOfRemoteCandidates(now: now) }
        makeTransports(role: role, remote: description)
        try startDTLS()
    }

    private mutating func describe(
        _ kind: SessionDescription.Kind, setup: SessionDescription.Setup, to offer: SessionDescription? = nil
    ) -> SessionDescription {
        descriptionVersion += 1
        let model = offer ?? remoteDescription
        let description = SessionDescription(
            kind: kind, sessionID: sessionID, version: descriptionVersion, mid: model.map(\.mid) ?? "0",
            isBundled: model?.isBundled ?? true, credentials: ice.localCredentials,
            fingerprints: [certificate.fingerprint], setup: setup,
            sctpPort: model?.sctpPort ?? configuration.sctp.port, maxMessageSize: configuration.sctp.maxMessageSize,
            takesLargeDatagrams: configuration.sctp.maxProbedPacketSize != nil, candidates: localCandidates,
            hasEndOfCandidates: localCandidatesAreComplete,
            form: model?.form ?? .sctpPort, otherSections: model?.otherSections ?? [])
        localDescription = description
        return description
    }
}
