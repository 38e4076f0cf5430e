import NIOCore
import NIOPosix
import SEA
import SwarmBase
import SwarmTransport
import Synchronization
import Testing

@testable import SwarmEngine
@testable import SwarmSpace

/// Some member's id.
enum SampleIdentity {
    static var peerID: PeerID {
        var entropy = Entropy.seed(7)
        return Identity(SEAPair.generate(using: &entropy)).peerID
    }
}

@Suite struct ConversationWriterTests {
    /// A disk that fails as often as it is told to.
    private final class FailingStore: StateStore {
        let failures: Mutex<Int>
        let applied = Mutex<[[UInt8]]>([])
        init(failures: Int) { self.failures = Mutex(failures) }

        func apply(_ changes: [StateChange], completion: @escaping @Sendable (Result<Void, StoreError>) -> Void) {
            let fails = failures.withLock { failures in
                defer { failures -= 1 }
                return failures > 0
            }
            if fails { return completion(.failure(.full)) }
            applied.withLock { $0 += changes.map(\.key) }
            completion(.success(()))
        }

        func load(namespace: String, completion: @escaping @Sendable (Result<[StateEntry], StoreError>) -> Void) {
            completion(.success([]))
        }
    }

    @Test func aBatchThatFailsIsTriedAgainBeforeTheNext() async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let store = FailingStore(failures: 2)
        let stored = Mutex<[UInt64]>([])
        let complaints = Atomic<Int>(0)
        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
            loop.execute {
                var writer: ConversationWriter?
                let second = StorageBatch(id: 2, writes: [StorageWrite(key: "second", value: nil)])
                writer = ConversationWriter(eventLoop: loop, store: store, namespace: "test") { batch in
                    stored.withLock { $0.append(batch) }
                    if batch == 1 { writer?.write(second) }
                    if batch == 2 {
                        writer = nil
                        done.resume()
                    }
                } onFailure: { _ in
                    complaints.add(1, ordering: .relaxed)
                }
                #expect(writer?.isBusy == false)
                writer?.write(StorageBatch(id: 1, writes: [StorageWrite(key: "first", value: [1])]))
                #expect(writer?.isBusy == true)
            }
        }
        #expect(stored.withLock { $0 } == [1, 2])
        #expect(store.applied.withLock { $0 } == [Array("first".utf8), Array("second".utf8)])
        // Only the first of failures in a row is told.
        #expect(complaints.load(ordering: .relaxed) == 1)
    }
}
