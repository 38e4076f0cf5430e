import SwarmBase

/// What a node keeps of one of the two DHTs.
struct FamilyState: Sendable {
    let family: AddressFamily
    var table: RoutingTable
    var external = ExternalAddress()
    /// Addresses that let us in, when the table is empty.
    var doors: [TransportAddress] = []
    /// Nodes of an earlier run, until the first search.
    var saved: [NodeContact] = []
    /// When our own neighbourhood is looked for (again).
    var joinAt: Instant
    var joinFailures = 0
    var isConnected = false

    /// More doors are let go, the oldest first.
    static let mostDoors = 32

    var ownID: NodeID { table.ownID }
}
