import DTLS
import SwarmBase
public import SwarmEngine

/// When each member wants to be called: looked through after every event, so it lies together.
struct Timeouts {
    private var all: [Instant] = []

    mutating func set(_ timeout: Instant?, of member: Int) {
        while all.count <= member { all.append(.distantFuture) }
        all[member] = timeout ?? .distantFuture
    }

    func of(_ member: Int) -> Instant { all[member] }

    /// The earliest of all.
    var earliest: Instant? { all.min().flatMap { $0 == .distantFuture ? nil : $0 } }
}

/// A machine that runs a member: its engine, its disk, its sockets.
///
/// The engine ends with a crash and is made anew by a restart; identity, place in the network and disk stay.
public final class SimulatedMember {
    /// What a restart finds on the disk.
    public enum Storage: String, CaseIterable, Sendable {
        /// All that the disk had taken.
        case kept
        /// That, and some of what was on its way to the disk, in order.
        case torn
        /// Nothing but the identity.
        case lost
    }

    /// Counts the members of a swarm, from 0.
    public let index: Int
    public let identity: Identity
    /// Where it is in the network.
    public let host: VirtualNetwork.HostID
    /// What it is behind now.
    public internal(set) var nat: VirtualNetwork.NATID?
    public internal(set) var natKind: NATKind
    /// What the engine was made with.
    public let configuration: SwarmEngineConfiguration
    let certificate: DTLSCertificate
    let hasTURN: Bool
    /// `nil` while it does not run.
    var engine: EngineBox?
    /// What is on the disk.
    var disk: [String: [UInt8]] = [:]
    /// Batches on their way to the disk, in order, and when they are there.
    var writing: [Writing] = []
    /// How long the disk takes.
    var diskDelay: Duration = .milliseconds(1)
    /// How far its clock is from the true time, in milliseconds.
    var clockSkew = 0.0
    /// The links it has, by the engine's names for them.
    var links: [SwarmLink: Int] = [:]
    /// Counts its runs, so that nothing meant for an earlier one reaches a later.
    var run = 0
    /// The path to each member, as the application was told last.
    public internal(set) var paths: [Int: PathKind] = [:]
    /// The application does not read at present.
    var isPaused = false

    static let port: UInt16 = 7000

    init(
        index: Int, identity: Identity, host: VirtualNetwork.HostID, nat: VirtualNetwork.NATID?, natKind: NATKind,
        configuration: SwarmEngineConfiguration, certificate: DTLSCertificate, hasTURN: Bool
    ) {
        self.index = index
        self.identity = identity
        self.host = host
        self.nat = nat
        self.natKind = natKind
        self.configuration = configuration
        self.certificate = certificate
        self.hasTURN = hasTURN
    }

    /// Whether its engine runs.
    public var isRunning: Bool { engine != nil }

    /// What a batch says of messages.
    enum Note {
        case sent(to: Int, number: UInt64)
        /// How far a lane was handed on.
        case received(from: Int, DeliveryLedger.Position)
    }

    /// A batch on its way to the disk, and when it is there.
    struct Writing {
        let batch: StorageBatch
        let notes: [Note]
        let at: Instant
    }

    /// A reference to an engine, which has one owner.
    final class EngineBox {
        var value: SwarmEngine

        init(_ value: consuming SwarmEngine) { self.value = value }
    }
}
