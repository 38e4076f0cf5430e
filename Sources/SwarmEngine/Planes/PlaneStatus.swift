public import SwarmBase

/// How it stands with one way of finding members, or of being reached by them.
public struct PlaneStatus: Equatable, Sendable {
    /// What it is.
    public enum Kind: String, CaseIterable, Sendable {
        case tracker, dht, relay, lan, known, stun, turn
    }

    public enum State: String, Sendable {
        /// Nothing has come of it yet.
        case trying
        /// The last that was heard of it was good.
        case working
        /// The last try failed; it goes on.
        case failing
    }

    public var kind: Kind
    /// A URL or an address; empty where there is but one of a kind.
    public var name: String
    public var state: State
    /// How long it took, from the first try, until it worked first.
    public var latency: Duration?
    /// How often it failed since it worked last.
    public var failures: Int
    /// Why it failed last, where that is known.
    public var reason: String?
    /// At which addresses it sees us, or has given us.
    public var addresses: [TransportAddress]
    /// What many of it together say of the NAT in front of us; `nil` where one alone speaks.
    public var mapping: Mapping?

    /// How a NAT maps the socket (RFC 4787 §4.1).
    public enum Mapping: String, Sendable {
        /// All see the same address.
        case endpointIndependent = "endpoint-independent"
        /// Each sees another port.
        case addressDependent = "address-dependent"
    }

    public init(
        kind: Kind, name: String = "", state: State = .trying, latency: Duration? = nil, failures: Int = 0,
        reason: String? = nil, addresses: [TransportAddress] = [], mapping: Mapping? = nil
    ) {
        self.kind = kind
        self.name = name
        self.state = state
        self.latency = latency
        self.failures = failures
        self.reason = reason
        self.addresses = addresses
        self.mapping = mapping
    }
}

/// The record that each plane keeps of how it goes.
struct PlaneHealth {
    private var startedAt: Instant?
    private var latency: Duration?
    private var failures = 0
    private var reason: String?

    /// A try begins.
    mutating func began(now: Instant) { startedAt = startedAt ?? now }

    /// It worked.
    mutating func worked(now: Instant) {
        latency = latency ?? startedAt.map { now - $0 } ?? .zero
        failures = 0
        reason = nil
    }

    /// It did not, or works no more.
    mutating func failed(_ reason: String?) {
        failures += 1
        self.reason = reason ?? self.reason
    }

    func status(_ kind: PlaneStatus.Kind, _ name: String = "", _ addresses: [TransportAddress] = []) -> PlaneStatus {
        PlaneStatus(
            kind: kind, name: name, state: failures > 0 ? .failing : latency == nil ? .trying : .working,
            latency: latency, failures: failures, reason: reason, addresses: addresses)
    }
}
