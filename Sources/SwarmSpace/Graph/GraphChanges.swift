import Gun
import JSON

/// The values of one place in the graph, the latest each time it is asked for.
///
/// Each iteration is for itself. It ends when its task is cancelled, the swarm is left or the graph closed.
public struct GraphChanges: AsyncSequence, Sendable {
    let host: GraphHost
    let path: GraphHost.Path?

    /// Gives out the values.
    public struct Iterator: AsyncIteratorProtocol {
        private let reading: GraphReading

        init(_ reading: GraphReading) { self.reading = reading }

        /// The next value; `nil` at the end.
        public mutating func next() async -> GraphValue? { await reading.nextValue() }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(GraphReading(host: host, path: path, isMap: false)) }
}

/// One key of a node.
public struct GraphEntry: Sendable {
    public let key: String
    public let value: GraphValue
    /// The key's own place.
    public let reference: GraphReference
}

/// The keys of one node that have a value, and then those that get a new one. A key that changes several times before
/// it is asked for is given once, with its latest value.
public struct GraphEntries: AsyncSequence, Sendable {
    let reference: GraphReference
    let path: GraphHost.Path?

    /// Gives out the keys.
    public struct Iterator: AsyncIteratorProtocol {
        private let reading: GraphReading
        private let reference: GraphReference

        init(_ reading: GraphReading, _ reference: GraphReference) {
            self.reading = reading
            self.reference = reference
        }

        /// The next key; `nil` at the end.
        public mutating func next() async -> GraphEntry? {
            guard let entry = await reading.nextEntry() else { return nil }
            let node = GraphReference(
                host: reference.host, root: entry.soul.text.string, signer: reference.signer,
                certificate: reference.certificate)
            let key = entry.key.text.string
            return GraphEntry(key: key, value: entry.value, reference: node[key])
        }
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(GraphReading(host: reference.host, path: path, isMap: true), reference)
    }
}

/// One iteration: begins with the first value that is asked for, and ends with its last owner.
actor GraphReading {
    private let host: GraphHost
    private let path: GraphHost.Path?
    private let isMap: Bool
    private var id: UInt64?

    init(host: GraphHost, path: GraphHost.Path?, isMap: Bool) {
        self.host = host
        self.path = path
        self.isMap = isMap
    }

    deinit {
        guard let id else { return }
        let host = host
        Task { await host.stopReading(id) }
    }

    private func begin() async -> UInt64? {
        if id == nil, let path { id = await host.startReading(path, isMap: isMap) }
        return id
    }

    func nextValue() async -> GraphValue? {
        guard let id = await begin() else { return nil }
        let host = host
        return await withTaskCancellationHandler {
            await host.nextValue(id)
        } onCancel: {
            Task { await host.stopReading(id) }
        }
    }

    func nextEntry() async -> (soul: Soul, key: Key, value: GraphValue)? {
        guard let id = await begin() else { return nil }
        let host = host
        return await withTaskCancellationHandler {
            await host.nextEntry(id)
        } onCancel: {
            Task { await host.stopReading(id) }
        }
    }
}
