import JSON
import SwarmBase
import SwarmEngine
import SwarmSpace

/// What the doctor found, and what follows from it.
struct DoctorReport {
    /// What stands between this machine and others.
    enum NAT: String {
        /// Nobody outside has said how he sees us.
        case unknown
        /// Outside we have an address of this machine.
        case none
        /// All see the same address: others can be told it.
        case endpointIndependent = "endpoint-independent"
        /// Each sees another port: others cannot be told any.
        case addressDependent = "address-dependent"
    }

    let planes: [PlaneStatus]
    let hostAddresses: [TransportAddress]

    /// How many members each tracker knows, by its URL.
    private let members: [String: Int]

    init(
        planes: [PlaneStatus], hostAddresses: [TransportAddress], unresolved: [PlaneStatus] = [],
        members: [MemberCount] = []
    ) {
        self.members = Dictionary(
            members.compactMap { count in count.members.map { (count.tracker, $0) } }, uniquingKeysWith: { $1 })
        self.planes = planes + unresolved
        self.hostAddresses = hostAddresses
    }

    private func works(_ kinds: PlaneStatus.Kind...) -> Bool {
        planes.contains { kinds.contains($0.kind) && $0.state == .working }
    }

    private func isTried(_ kinds: PlaneStatus.Kind...) -> Bool { planes.contains { kinds.contains($0.kind) } }

    /// The addresses at which others outside see our socket.
    var externalAddresses: [TransportAddress] {
        var seen: [TransportAddress] = []
        for plane in planes where plane.kind == .stun || plane.kind == .dht {
            for address in plane.addresses where !seen.contains(address) { seen.append(address) }
        }
        return seen
    }

    var nat: NAT {
        if planes.contains(where: { $0.mapping == .addressDependent }) { return .addressDependent }
        let witnesses = planes.filter { ($0.kind == .stun || $0.kind == .dht) && !$0.addresses.isEmpty }
        let seen = externalAddresses.filter { !$0.address.isIPv6 }
        guard let first = seen.first else { return .unknown }
        if seen.allSatisfy(hostAddresses.contains) { return .none }
        if seen.count > 1 { return .addressDependent }
        // One witness cannot say whether another would see the same.
        let areSeveral = witnesses.count > 1 || witnesses.contains { $0.mapping != nil }
        return areSeveral || hostAddresses.contains(first) ? .endpointIndependent : .unknown
    }

    /// Whether members can be found from here at all.
    var findsMembers: Bool { works(.tracker, .relay, .dht, .lan, .known) }

    /// What will work from here, and what to change.
    var verdict: String {
        guard findsMembers else {
            return isTried(.tracker, .relay, .dht)
                ? "Nobody can be found from here: nothing that was tried answers. Check the addresses, and whether this network lets anything out."
                : "Nobody can be found from here: name a tracker or a relay (--tracker, --relay), or use a network that carries multicast."
        }
        let onlyLocal = !works(.tracker, .relay, .dht)
        if onlyLocal {
            return isTried(.tracker, .relay, .dht)
                ? "Members on this local network are found, others are not: no tracker, no relay and no node of the DHT answers. Check their addresses, and whether this network lets anything out."
                : "Members on this local network are found; for others name a tracker or a relay (--tracker, --relay)."
        }
        let fallback = works(.relay) ? "through the relay where no direct path is possible" : nil
        let remedy = works(.turn) ? "through the TURN server otherwise" : fallback
        switch nat {
        case .none:
            return
                "Everything works: this machine has an address of its own outside, so direct paths form with all others."
        case .endpointIndependent:
            return "Direct paths form with most others; "
                + (remedy ?? "name a relay or a TURN server (--relay, --turn) for the rest") + "."
        case .addressDependent:
            return
                "This network's NAT is symmetric: direct paths form only with members that have an address outside or a milder NAT; "
                + (remedy ?? "name a TURN server (--turn) or a relay (--relay) for the others") + "."
        case .unknown where isTried(.stun) && !works(.stun):
            return "Members are found, but no STUN server answers: UDP may be blocked here. Then messages go "
                + (remedy
                    ?? "nowhere but on the local network: name a relay or a TURN server over TCP or TLS (--relay, --turn)")
                + "."
        case .unknown:
            return "Members are found; name two STUN servers (--stun) to learn whether direct paths will form"
                + (remedy.map { "; messages go \($0)" } ?? "") + "."
        }
    }

    // MARK: For people

    var lines: [String] {
        var lines = planes.map { plane -> String in
            let mark =
                switch plane.state {
                case .working: "works  "
                case .trying: "silent "
                case .failing: "fails  "
                }
            var line = "\(mark)  \(Self.word(plane.kind))"
            if !plane.name.isEmpty { line += " \(plane.name)" }
            if let latency = plane.latency { line += ", after \(Int(latency.milliseconds.rounded(.up))) ms" }
            if !plane.addresses.isEmpty {
                let addresses = plane.addresses.map(\.description).joined(separator: ", ")
                line += plane.kind == .turn ? ", gives \(addresses)" : ", sees us at \(addresses)"
            }
            if let known = members(known: plane) { line += ", knows \(known) \(known == 1 ? "member" : "members")" }
            if let reason = plane.reason, plane.state != .working { line += ": \(reason)" }
            return line
        }
        lines.append("")
        let addresses = hostAddresses.map(\.description).joined(separator: ", ")
        lines.append("this machine: \(addresses.isEmpty ? "no address" : addresses)")
        switch nat {
        case .unknown: break
        case .none: lines.append("NAT: none")
        case .endpointIndependent: lines.append("NAT: endpoint-independent mapping")
        case .addressDependent: lines.append("NAT: address-dependent mapping (symmetric)")
        }
        lines += ["", verdict]
        return lines
    }

    /// Of the swarm that was named; `nil` for what is no tracker, or does not tell.
    private func members(known plane: PlaneStatus) -> Int? { plane.kind == .tracker ? members[plane.name] : nil }

    private static func word(_ kind: PlaneStatus.Kind) -> String {
        switch kind {
        case .tracker: "tracker"
        case .dht: "DHT"
        case .relay: "relay"
        case .lan: "local network"
        case .known: "known members"
        case .stun: "STUN server"
        case .turn: "TURN server"
        }
    }

    // MARK: For programs

    var json: [JSONValue] {
        let each = planes.map { plane -> JSONValue in
            [
                "event": "plane", "kind": .string(plane.kind.rawValue), "name": .string(plane.name),
                "state": .string(plane.state.rawValue),
                "ms": plane.latency.map { .number(($0.milliseconds * 1000).rounded() / 1000) } ?? .null,
                "addresses": .array(plane.addresses.map { .string($0.description) }),
                "members": members(known: plane).map { .integer($0) } ?? .null,
                "reason": plane.reason.map { .string($0) } ?? .null,
            ]
        }
        return each + [
            [
                "event": "verdict", "works": .bool(findsMembers), "nat": .string(nat.rawValue),
                "external": .array(externalAddresses.map { .string($0.description) }),
                "host": .array(hostAddresses.map { .string($0.description) }), "text": .string(verdict),
            ]
        ]
    }
}
