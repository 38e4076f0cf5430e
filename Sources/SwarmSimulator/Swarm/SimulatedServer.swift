import Gun
import SwarmBase
import Tracker

/// A host with a GUN relay, or with a tracker: the real core of it, and for a relay a disk.
public final class SimulatedServer {
    /// Which of the two it is.
    public enum Kind: Sendable { case relay, tracker }

    public let kind: Kind
    /// What members dial.
    public let url: String
    let host: VirtualNetwork.HostID
    /// The core of the one or of the other; `nil` while it is down.
    var relay: GunRelay?
    var tracker: TrackerServer?
    /// What a relay keeps of its graph.
    var store: [Soul: GunNode] = [:]
    var nextTimeout: Instant?

    init(kind: Kind, url: String, host: VirtualNetwork.HostID) {
        self.kind = kind
        self.url = url
        self.host = host
    }

    /// Whether it runs.
    public var isUp: Bool { relay != nil || tracker != nil }

    func read(_ range: RecordRange) -> RecordSlice {
        if let soul = range.souls.exact.flatMap({ Soul($0) }) {
            guard let node = store[soul] else { return .nothing }
            if let key = range.keys.exact.flatMap({ Key($0) }) {
                return range.slice(of: node.entries[key].map { [GunRecord(soul: soul, key: key, entry: $0)] } ?? [])
            }
            return range.slice(of: node.records)
        }
        return range.slice(of: store.values.flatMap(\.records))
    }

    func keep(_ records: [GunRecord]) {
        for record in records {
            store[record.soul, default: GunNode(soul: record.soul)].entries[record.key] = record.entry
        }
    }
}
