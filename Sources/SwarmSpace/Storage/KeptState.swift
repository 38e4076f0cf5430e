import JSON
import NIOPosix
import SEA
import SwarmBase
import SwarmEngine
import SwarmTransport

/// What a member brings from an earlier run: who it is, and its conversations in this swarm.
struct KeptState: Sendable {
    var identity: Identity
    /// `nil` when nothing is kept.
    var store: SQLiteStore?
    var records: [StateEntry] = []

    /// An identity for this run only.
    static func volatile() -> KeptState {
        var entropy = Entropy.system
        return KeptState(identity: Identity(SEAPair.generate(using: &entropy)), store: nil)
    }

    /// Opens a data directory, and makes what is not there yet. One process at a time can have it.
    static func open(_ path: String, swarm: Topic) async throws(SwarmError) -> KeptState {
        let opened: (identity: Identity, store: SQLiteStore)
        do {
            // Files are read where waiting for them holds nobody up.
            opened = try await NIOThreadPool.singleton.runIfActive { () throws -> (Identity, SQLiteStore) in
                let directory = try DataDirectory(path: path)
                let identity = try KeptIdentity(in: directory).identity
                var settings = SQLiteStoreConfiguration()
                settings.overwritesDeleted = true
                return (identity, try directory.openStore(configuration: settings))
            }
        } catch let error as SwarmError {
            throw error
        } catch StoreError.inUse {
            throw SwarmError(
                .storage, "\(path) is in use by another process: stop that one, or choose another data directory")
        } catch {
            throw SwarmError(.storage, "\(error): choose another data directory")
        }
        do throws(StoreError) {
            let records = try await opened.store.load(namespace: namespace(of: swarm))
            return KeptState(identity: opened.identity, store: opened.store, records: records)
        } catch {
            let store = opened.store
            try? await NIOThreadPool.singleton.runIfActive { store.close() }
            throw SwarmError(.storage, "\(error): choose another data directory")
        }
    }

    /// Conversations of one swarm are apart from those of another.
    static func namespace(of swarm: Topic) -> String { "conversation/\(swarm.infoHash)" }
}
