import NIOCore
import SwarmBase
import SwarmEngine
import SwarmTransport

/// Writes what the engine wants kept, one batch at a time: what comes up meanwhile makes the next batch.
///
/// Confined to its event loop.
final class ConversationWriter {
    private let eventLoop: any EventLoop
    private let store: any StateStore
    private let namespace: String
    private let onStored: (UInt64) -> Void
    private let onFailure: (StoreError) -> Void
    private var hasFailed = false
    /// The batch that is being written, or waits to be tried again.
    private(set) var isBusy = false

    /// - Parameters:
    ///   - onStored: a batch, by its number, is on disk.
    ///   - onFailure: called for the first of failures in a row; the batch is tried again each second.
    init(
        eventLoop: any EventLoop, store: any StateStore, namespace: String, onStored: @escaping (UInt64) -> Void,
        onFailure: @escaping (StoreError) -> Void
    ) {
        self.eventLoop = eventLoop
        self.store = store
        self.namespace = namespace
        self.onStored = onStored
        self.onFailure = onFailure
    }

    /// Writes a batch; only when not busy.
    func write(_ batch: StorageBatch) {
        isBusy = true
        let changes = batch.writes.map {
            StateChange(namespace: namespace, key: Array($0.key.utf8), value: $0.value)
        }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        store.apply(changes) { [eventLoop] result in
            eventLoop.execute { bound.value.wrote(batch, result) }
        }
    }

    private func wrote(_ batch: StorageBatch, _ result: Result<Void, StoreError>) {
        switch result {
        case .success:
            hasFailed = false
            isBusy = false
            onStored(batch.id)
        case .failure(.closed):
            isBusy = false
        case .failure(let error):
            if !hasFailed { onFailure(error) }
            hasFailed = true
            eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) { () -> Void in self.write(batch) }
        }
    }
}
