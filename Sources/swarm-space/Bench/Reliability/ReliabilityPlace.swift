import JSON
import Foundation

/// Where a trial happens, and what can be done to the network there.
protocol ReliabilityPlace {
    /// The address that the supernode listens at.
    var serverAddress: String { get }
    /// What a process is started by: the supernode, or a member by its number.
    func within(member: Int?) -> [String]
    /// Nothing passes between the members directly, silently; the supernode is in reach.
    func cutDirect(_ members: [BenchProcess], _ isCut: Bool) throws
    /// Nothing passes to or from the first member at all.
    func cutAll(_ members: [BenchProcess], _ isCut: Bool) throws
    /// The first member moves to another network; `nil` where that cannot be done.
    var roam: (() throws -> Void)? { get }
    /// The NAT of the first member forgets its mappings; `nil` where there is none.
    var rebootNAT: (() throws -> Void)? { get }
    /// Takes away what was made.
    func close()
}

/// This machine: the members drop the packets of a path themselves.
struct LoopbackPlace: ReliabilityPlace {
    let serverAddress = "127.0.0.1"
    let roam: (() throws -> Void)? = nil
    let rebootNAT: (() throws -> Void)? = nil

    func within(member: Int?) -> [String] { [] }

    func cutDirect(_ members: [BenchProcess], _ isCut: Bool) {
        for member in members { member.command(["cmd": .string(isCut ? "block" : "unblock"), "path": "direct"]) }
    }

    func cutAll(_ members: [BenchProcess], _ isCut: Bool) {
        for path in ["direct", "relay", "mesh"] {
            for member in members {
                member.command(["cmd": .string(isCut ? "block" : "unblock"), "path": .string(path)])
            }
        }
    }

    func close() {}
}
