import Foundation
import GRDB

extension SQLiteStore {
    public func store(
        _ records: [GraphRecord], firstChange: UInt64?,
        completion: @escaping @Sendable (Result<Void, StoreError>) -> Void
    ) {
        submit(
            Operation(byteCount: records.reduce(64) { $0 + $1.byteCount }) { db in
                let statement = try db.cachedStatement(
                    sql: "INSERT OR REPLACE INTO graph (soul, key, value, state) VALUES (?, ?, ?, ?)")
                let log = try firstChange.map { _ in
                    try db.cachedStatement(
                        sql: "INSERT OR REPLACE INTO changes (number, soul, key) VALUES (?, ?, ?)")
                }
                for (place, record) in records.enumerated() {
                    if let log, let firstChange {
                        let number = Int64(clamping: firstChange + UInt64(place))
                        try log.execute(arguments: [number, Data(record.soul), Data(record.key)])
                    }
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

    public func loadChanges(
        after: UInt64, through: UInt64, limit: Int,
        completion: @escaping @Sendable (Result<ChangeSlice, StoreError>) -> Void
    ) {
        submit(
            Operation(byteCount: 128) { db in
                let statement = try db.cachedStatement(
                    sql: """
                        SELECT changes.number, changes.soul, changes.key, value, state FROM changes LEFT JOIN graph
                        ON graph.soul = changes.soul AND graph.key = changes.key
                        WHERE number > ? AND number <= ? ORDER BY number LIMIT ?
                        """)
                let rows = try Row.fetchCursor(
                    statement,
                    arguments: [Int64(clamping: after), Int64(clamping: through), max(1, limit)])
                var slice = ChangeSlice(records: [], through: through)
                var count = 0
                var last = after
                while let row = try rows.next() {
                    count += 1
                    last = UInt64(clamping: row[0] as Int64)
                    guard let value = row[3] as Data?, let state = row[4] as Double? else { continue }
                    let (soul, key): (Data, Data) = (row[1], row[2])
                    slice.records.append(
                        GraphRecord(soul: Array(soul), key: Array(key), value: Array(value), state: state))
                }
                if count >= max(1, limit) { slice.through = last }
                let result = slice
                return { completion(.success(result)) }
            } fail: {
                completion(.failure($0))
            })
    }

    public func changeNumbers(completion: @escaping @Sendable (Result<ClosedRange<UInt64>?, StoreError>) -> Void) {
        submit(
            Operation(byteCount: 64) { db in
                let row = try Row.fetchOne(db, sql: "SELECT min(number), max(number) FROM changes")
                var numbers: ClosedRange<UInt64>?
                if let first = row?[0] as Int64?, let last = row?[1] as Int64?, first <= last {
                    numbers = UInt64(clamping: first)...UInt64(clamping: last)
                }
                let result = numbers
                return { completion(.success(result)) }
            } fail: {
                completion(.failure($0))
            })
    }

    public func forgetChanges(through: UInt64, completion: @escaping @Sendable (Result<Void, StoreError>) -> Void) {
        submit(
            Operation(byteCount: 64) { db in
                try db.cachedStatement(sql: "DELETE FROM changes WHERE number <= ?")
                    .execute(arguments: [Int64(clamping: through)])
                return { completion(.success(())) }
            } fail: {
                completion(.failure($0))
            })
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
