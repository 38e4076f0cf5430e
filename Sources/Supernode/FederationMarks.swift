import Gun
import SwarmTransport

/// Up to which change each configured relay has acknowledged, as the store keeps it: by the relay's URL.
enum FederationMarks {
    private static let namespace = "federation"

    /// What a relay is to take up when it starts.
    ///
    /// - Returns: `nil` without configured relays: then nothing is logged, and what was is forgotten, as the log of
    ///   later runs would have a gap.
    static func changeLog(
        in store: some GraphStore & StateStore, peers: [WebSocketURL]
    ) async throws(StoreError) -> ChangeLog? {
        let kept = try await store.load(namespace: namespace)
        let numbers = try await store.changeNumbers
        guard !peers.isEmpty else {
            if let numbers { try await store.forgetChanges(through: numbers.upperBound) }
            if !kept.isEmpty {
                try await store.apply(kept.map { StateChange(namespace: namespace, key: $0.key, value: nil) })
            }
            return nil
        }
        var marks: [[UInt8]: UInt64] = [:]
        for entry in kept { marks[entry.key] = UInt64(String(decoding: entry.value, as: UTF8.self)) }
        // A log that is empty has been acknowledged to its end.
        let last = max(numbers?.upperBound ?? 0, marks.values.max() ?? 0)
        var log = ChangeLog(first: numbers?.lowerBound ?? last + 1, last: last)
        for (number, url) in peers.enumerated() { log.acknowledged.updateValue(marks[key(url)], forKey: number) }
        return log
    }

    static func write(_ marks: [Int: UInt64], peers: [WebSocketURL], to store: any StateStore) {
        let changes = marks.compactMap { number, change -> StateChange? in
            guard peers.indices.contains(number) else { return nil }
            return StateChange(namespace: namespace, key: key(peers[number]), value: Array("\(change)".utf8))
        }
        // One that is lost costs an offer of what the relay has already.
        store.apply(changes) { _ in }
    }

    private static func key(_ url: WebSocketURL) -> [UInt8] { Array(url.description.utf8) }
}
