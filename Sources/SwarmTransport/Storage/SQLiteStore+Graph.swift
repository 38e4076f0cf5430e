import Foundation
import GRDB

extension SQLiteStore {
    public func store(_ records: [GraphRecord], completion: @escaping @Sendable (Result<Void, StoreError>) -> Void) {
        submit(
            Operation(byteCount: records.reduce(64) { $0 + $1.byteCount }) { db in
                let statement = try db.cachedStatement(
                    sql: "INSERT OR REPLACE INTO graph (soul, key, value, state) VALUES (?, ?, ?, ?)")
                for record in records {
                    try statement.execute(arguments: [
                        Data(record.soul), Data(record.key), Data(record.value), record.state,
                    ])
                    guard let expires = record.expires else { continue }
                    try db.cachedStatement(
                        sql: """
                            INSERT INTO expiry (soul, expires) VALUES (?, ?)
                            ON CONFLICT (soul) DO UPDATE SET expires = max(expires, excluded.expires)
                            """
                    ).execute(arguments: [Data(record.soul), expires])
                }
                return { completion(.success(())) }
            } fail: {
                completion(.failure($0))
            })
    }

    public func load(_ range: GraphRange, completion: @escaping @Sendable (Result<GraphSlice, StoreError>) -> Void) {
        submit(
            Operation(byteCount: 128 + range.from.soul.count) { db in
                let slice = try Self.fetch(db, range)
                return { completion(.success(slice)) }
            } fail: {
                completion(.failure($0))
            })
    }

    private static func fetch(_ db: Database, _ range: GraphRange) throws -> GraphSlice {
        var arguments: [any DatabaseValueConvertible] = []
        let sql: String
        if let end = range.to, end.soul == range.from.soul {
            sql = "soul = ? AND key >= ? AND key < ?"
            arguments = [Data(range.from.soul), Data(range.from.key), Data(end.key)]
        } else if let end = range.to, end == GraphAddress(soul: range.from.soul + [0]) {
            sql = "soul = ? AND key >= ?"
            arguments = [Data(range.from.soul), Data(range.from.key)]
        } else if let end = range.to {
            sql = "(soul, key) >= (?, ?) AND (soul, key) < (?, ?)"
            arguments = [Data(range.from.soul), Data(range.from.key), Data(end.soul), Data(end.key)]
        } else {
            sql = "(soul, key) >= (?, ?)"
            arguments = [Data(range.from.soul), Data(range.from.key)]
        }
        let order = range.isReversed ? "soul DESC, key DESC" : "soul, key"
        let statement = try db.cachedStatement(
            sql: "SELECT soul, key, value, state FROM graph WHERE \(sql) ORDER BY \(order)")
        let rows = try Row.fetchCursor(statement, arguments: StatementArguments(arguments))
        var slice = GraphSlice(records: [], isComplete: false)
        var bytes = 0
        while slice.records.count < max(range.limit, 0), slice.records.isEmpty || bytes < range.byteLimit {
            guard let row = try rows.next() else {
                slice.isComplete = true
                return slice
            }
            let (soul, key, value): (Data, Data, Data) = (row[0], row[1], row[2])
            slice.records.append(
                GraphRecord(soul: Array(soul), key: Array(key), value: Array(value), state: row[3]))
            bytes += value.count
        }
        if try rows.next() == nil { slice.isComplete = true }
        return slice
    }

    public func expire(
        before now: Double, limit: Int, completion: @escaping @Sendable (Result<Int, StoreError>) -> Void
    ) {
        submit(
            Operation(byteCount: 64) { db in
                let due = try Data.fetchAll(
                    db, sql: "SELECT soul FROM expiry WHERE expires < ? ORDER BY expires LIMIT ?",
                    arguments: [now, max(0, limit)])
                try Self.remove(due, db)
                return { completion(.success(due.count)) }
            } fail: {
                completion(.failure($0))
            })
    }

    public func remove(souls: [[UInt8]], completion: @escaping @Sendable (Result<Void, StoreError>) -> Void) {
        submit(
            Operation(byteCount: souls.reduce(64) { $0 + $1.count }) { db in
                try Self.remove(souls.map { Data($0) }, db)
                return { completion(.success(())) }
            } fail: {
                completion(.failure($0))
            })
    }

    private static func remove(_ souls: [Data], _ db: Database) throws {
        for table in ["graph", "expiry"] where !souls.isEmpty {
            let statement = try db.cachedStatement(sql: "DELETE FROM \(table) WHERE soul = ?")
            for soul in souls { try statement.execute(arguments: [soul]) }
        }
    }
}
