import Foundation
import GRDB
import SwarmBase
import Synchronization

/// How a ``SQLiteStore`` works.
public struct SQLiteStoreConfiguration: Sendable {
    /// How large the file may grow, in bytes; then writes fail with ``StoreError/full``.
    public var maximumFileBytes = 16 << 30
    /// How many bytes of operations may wait for the disk; more fail with ``StoreError/overloaded``.
    public var maximumPendingBytes = 64 << 20
    /// How many operations one transaction takes at most.
    public var maximumBatch = 4096
    /// How long opening waits for another process to let go of the file.
    public var openTimeout: Duration = .seconds(2)
    /// Whether what is deleted is overwritten at once (SQLite's `secure_delete`): keys that are destroyed are not to be found in the file.
    /// The write-ahead log holds former pages until it is written over.
    public var overwritesDeleted = false

    public init() {}
}

/// The node's SQLite file: the GUN graph and the node's own state.
///
/// Everything happens on the database's own queue. Operations that wait while a transaction is written to the disk
/// share the next one (group commit): an `fsync` costs milliseconds, and each is paid once for all of them.
/// `synchronous = FULL`, so that what was acknowledged is there after a power cut; the file is locked for other
/// processes as long as it is open.
public final class SQLiteStore: GraphStore, StateStore {
    /// One operation: run within a transaction, it gives what to do once that is committed.
    struct Operation: Sendable {
        var byteCount: Int
        var run: @Sendable (Database) throws -> @Sendable () -> Void
        var fail: @Sendable (StoreError) -> Void
    }
    private struct Pending: Sendable {
        var operations: [Operation] = []
        var byteCount = 0
        var isDraining = false
        var isClosed = false
    }

    /// "swarm" in ASCII, cut to 31 bits: marks the file as ours (SQLite's `application_id`).
    private static let applicationID = 0x7377_726d
    private static let formatVersion = 3

    /// The database's path.
    public let path: String
    private let configuration: SQLiteStoreConfiguration
    private let database: DatabaseQueue
    private let pending = Mutex(Pending())

    /// Opens the file, or makes it with mode 0600. A file that a killed process left behind is recovered.
    public init(path: String, configuration: SQLiteStoreConfiguration = .init()) throws(StoreError) {
        self.path = path
        self.configuration = configuration
        do { try PrivateFile.ensure(path) } catch {
            throw .cannotOpen(path: path, reason: String(describing: error))
        }
        var settings = GRDB.Configuration()
        settings.label = "swarm-space.store"
        settings.busyMode = .timeout(configuration.openTimeout.milliseconds / 1000)
        let maximumPages = max(64, configuration.maximumFileBytes / 4096)
        settings.prepareDatabase { db in
            // Exclusive locking comes before WAL, so that the index of the WAL lives in memory and needs no file.
            try db.execute(
                sql: """
                    PRAGMA locking_mode = EXCLUSIVE;
                    PRAGMA journal_mode = WAL;
                    PRAGMA synchronous = FULL;
                    PRAGMA max_page_count = \(maximumPages);
                    PRAGMA secure_delete = \(configuration.overwritesDeleted ? "ON" : "OFF");
                    """)
        }
        do {
            database = try DatabaseQueue(path: path, configuration: settings)
            try database.write { db in try Self.migrate(db, path: path) }
        } catch let error as StoreError {
            throw error
        } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
            throw .inUse(path: path)
        } catch {
            throw .cannotOpen(path: path, reason: String(describing: error))
        }
    }

    private static func migrate(_ db: Database, path: String) throws {
        let id = try Int.fetchOne(db, sql: "PRAGMA application_id") ?? 0
        let version = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
        if version > formatVersion { throw StoreError.newerVersion(path: path, version: version) }
        if id == applicationID, version == formatVersion { return }
        if id == applicationID, version == 1 { return try SQLiteFormat.migrateFromVersion1(db) }
        if id == applicationID, version == 2 { return try SQLiteFormat.migrateFromVersion2(db) }
        guard id == 0, version == 0, try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_master") == 0 else {
            throw StoreError.cannotOpen(path: path, reason: "it is not a database of this program")
        }
        try db.execute(
            sql: """
                \(SQLiteFormat.tables)
                PRAGMA application_id = \(applicationID);
                PRAGMA user_version = \(formatVersion);
                """)
    }

    /// Waits for what was asked for, writes it and closes the file. Later operations fail with ``StoreError/closed``.
    ///
    /// Not to be called from within a completion: those run on the queue that this waits for.
    public func close() {
        let first = pending.withLock { pending in
            defer { pending.isClosed = true }
            return !pending.isClosed
        }
        guard first else { return }
        // The drain that is under way, if any, is on the same queue before this.
        database.inDatabase { db in drain(db) }
        try? database.close()
    }

    // MARK: The queue

    func submit(_ operation: Operation) {
        enum Verdict { case queued, start, refused(StoreError) }
        let verdict: Verdict = pending.withLock { pending in
            if pending.isClosed { return .refused(.closed) }
            if pending.byteCount > 0, pending.byteCount + operation.byteCount > configuration.maximumPendingBytes {
                return .refused(.overloaded)
            }
            pending.operations.append(operation)
            pending.byteCount += operation.byteCount
            if pending.isDraining { return .queued }
            pending.isDraining = true
            return .start
        }
        switch verdict {
        case .queued: break
        case .start: database.asyncWriteWithoutTransaction { db in self.drain(db) }
        case .refused(let error): operation.fail(error)
        }
    }

    private func drain(_ db: Database) {
        while true {
            let batch: [Operation] = pending.withLock { pending in
                let batch = Array(pending.operations.prefix(configuration.maximumBatch))
                pending.operations.removeFirst(batch.count)
                pending.byteCount -= batch.reduce(0) { $0 + $1.byteCount }
                if batch.isEmpty { pending.isDraining = false }
                return batch
            }
            if batch.isEmpty { return }
            commit(batch[...], db)
        }
    }

    private func commit(_ batch: ArraySlice<Operation>, _ db: Database) {
        do {
            var completions: [@Sendable () -> Void] = []
            completions.reserveCapacity(batch.count)
            try db.inTransaction(.deferred) {
                for operation in batch { completions.append(try operation.run(db)) }
                return .commit
            }
            for completion in completions { completion() }
        } catch {
            // One bad operation must not take the others with it.
            if batch.count > 1 {
                for index in batch.indices { commit(batch[index...index], db) }
            } else {
                for operation in batch { operation.fail(Self.storeError(error)) }
            }
        }
    }

    private static func storeError(_ error: any Error) -> StoreError {
        switch (error as? DatabaseError)?.resultCode {
        case .SQLITE_FULL: .full
        default: .failed(String(describing: error))
        }
    }
}

// MARK: - The node's own state

extension SQLiteStore {
    public func apply(_ changes: [StateChange], completion: @escaping @Sendable (Result<Void, StoreError>) -> Void) {
        submit(
            Operation(byteCount: changes.reduce(64) { $0 + $1.byteCount }) { db in
                let insert = try db.cachedStatement(
                    sql: "INSERT OR REPLACE INTO state (namespace, key, value) VALUES (?, ?, ?)")
                let delete = try db.cachedStatement(sql: "DELETE FROM state WHERE namespace = ? AND key = ?")
                for change in changes {
                    if let value = change.value {
                        try insert.execute(arguments: [change.namespace, Data(change.key), Data(value)])
                    } else {
                        try delete.execute(arguments: [change.namespace, Data(change.key)])
                    }
                }
                return { completion(.success(())) }
            } fail: {
                completion(.failure($0))
            })
    }

    public func load(namespace: String, completion: @escaping @Sendable (Result<[StateEntry], StoreError>) -> Void) {
        submit(
            Operation(byteCount: 64) { db in
                let statement = try db.cachedStatement(
                    sql: "SELECT key, value FROM state WHERE namespace = ? ORDER BY key")
                let rows = try Row.fetchCursor(statement, arguments: [namespace])
                var entries: [StateEntry] = []
                while let row = try rows.next() {
                    let (key, value): (Data, Data) = (row[0], row[1])
                    entries.append(StateEntry(key: Array(key), value: Array(value)))
                }
                let result = entries
                return { completion(.success(result)) }
            } fail: {
                completion(.failure($0))
            })
    }
}
