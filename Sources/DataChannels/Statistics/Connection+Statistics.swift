import DTLS
import ICE
import SwarmBase
import WebRTC

extension Connection {
    private static let transportID = "T"

    /// What is known of the connection now.
    func statistics(certificate: EndpointCertificate) -> StatisticsReport {
        let locals = core.localCandidates
        let pairs = core.candidatePairs
        var remotes: [CandidateStatistics] = []
        var pairStatistics: [CandidatePairStatistics] = []
        var selected: String?
        for (index, pair) in pairs.enumerated() {
            let remoteID = "R\(pair.path.remote)"
            if !remotes.contains(where: { $0.id == remoteID }) {
                remotes.append(remoteCandidate(of: pair, id: remoteID))
            }
            let id = "P\(index)"
            if pair.isSelected { selected = id }
            pairStatistics.append(
                CandidatePairStatistics(
                    id: id, transportId: Self.transportID,
                    localCandidateId: pair.localCandidate.map(Self.id), remoteCandidateId: remoteID,
                    state: pair.state.rawValue, nominated: pair.isSelected,
                    currentRoundTripTime: pair.roundTripTime?.seconds,
                    totalRoundTripTime: pair.counters.totalRoundTripTime.seconds,
                    requestsSent: pair.counters.requestsSent, requestsReceived: pair.counters.requestsReceived,
                    responsesSent: pair.counters.responsesSent, responsesReceived: pair.counters.responsesReceived))
        }
        let used = pairs.compactMap(\.localCandidate)
        let local = locals + used.filter { !locals.contains($0) }
        var certificates = [CertificateStatistics(id: "C0", certificate.certificate.fingerprint)]
        if let peer = core.remoteDescription?.fingerprints.first {
            certificates.append(CertificateStatistics(id: "C1", peer))
        }
        return StatisticsReport(
            peerConnection: PeerConnectionStatistics(
                dataChannelsOpened: counters.channelsOpened, dataChannelsClosed: counters.channelsClosed),
            transport: transport(selected: selected, hasPeerCertificate: certificates.count > 1),
            candidatePairs: pairStatistics,
            localCandidates: Set(local.map(Self.id)).sorted().compactMap { id in
                local.first { Self.id($0) == id }.map { Self.statistics(of: $0, id: id) }
            },
            remoteCandidates: remotes,
            dataChannels: channels.values.map { channel in
                DataChannelStatistics(
                    id: "D\(ObjectIdentifier(channel).hashValue)", label: channel.link.label,
                    protocol: channel.link.options.protocol, dataChannelIdentifier: channel.link.id.map { Int($0) },
                    state: channel.link.state.rawValue, messagesSent: channel.counters.messagesSent,
                    bytesSent: channel.counters.bytesSent, messagesReceived: channel.counters.messagesReceived,
                    bytesReceived: channel.counters.bytesReceived)
            }.sorted { ($0.dataChannelIdentifier ?? -1) < ($1.dataChannelIdentifier ?? -1) },
            certificates: certificates)
    }

    private func transport(selected: String?, hasPeerCertificate: Bool) -> TransportStatistics {
        let dtlsState: String =
            switch core.closeReason {
            case .dtls: "failed"
            case .some: "closed"
            case nil: core.isDTLSConnected ? "connected" : (core.remoteAddress == nil ? "new" : "connecting")
            }
        return TransportStatistics(
            id: Self.transportID, packetsSent: counters.packetsSent, packetsReceived: counters.packetsReceived,
            bytesSent: counters.bytesSent, bytesReceived: counters.bytesReceived,
            iceRole: core.iceRole == .controlling ? "controlling" : "controlled",
            iceLocalUsernameFragment: core.localUfrags.first, iceState: core.iceState.rawValue, dtlsState: dtlsState,
            dtlsRole: core.isDTLSClient.map { $0 ? "client" : "server" } ?? "unknown",
            selectedCandidatePairId: selected, selectedCandidatePairChanges: counters.selectedPathChanges,
            localCertificateId: "C0", remoteCertificateId: hasPeerCertificate ? "C1" : nil)
    }

    /// A candidate that the peer told of, or that a check has shown.
    private func remoteCandidate(of pair: ICEPairStatus, id: String) -> CandidateStatistics {
        if let told = core.remoteDescription?.candidates.first(where: { $0.address == pair.path.remote }) {
            return Self.statistics(of: told, id: id)
        }
        return CandidateStatistics(
            id: id, transportId: Self.transportID, address: "\(pair.path.remote.address)",
            port: Int(pair.path.remote.port), protocol: "udp", candidateType: pair.remoteKind.rawValue,
            priority: Int(pair.remotePriority))
    }

    private static func id(_ candidate: Candidate) -> String { "L\(candidate.kind.rawValue)\(candidate.address)" }

    private static func statistics(of candidate: Candidate, id: String) -> CandidateStatistics {
        CandidateStatistics(
            id: id, transportId: transportID, address: "\(candidate.address.address)",
            port: Int(candidate.address.port), protocol: "udp", candidateType: candidate.kind.rawValue,
            priority: Int(candidate.priority), foundation: candidate.foundation,
            relatedAddress: candidate.relatedAddress.map { "\($0.address)" },
            relatedPort: candidate.relatedAddress.map { Int($0.port) })
    }
}

extension CertificateStatistics {
    fileprivate init(id: String, _ fingerprint: DTLSFingerprint) {
        let parts = fingerprint.sdp.split(separator: " ", maxSplits: 1)
        self.init(
            id: id, fingerprint: parts.last.map(String.init) ?? "",
            fingerprintAlgorithm: parts.first.map(String.init) ?? "")
    }
}

extension Duration {
    fileprivate var seconds: Double { milliseconds / 1000 }
}
