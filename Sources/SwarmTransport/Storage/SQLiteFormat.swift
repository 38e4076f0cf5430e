import Foundation
import GRDB

/// What the tables of the database look like.
enum SQLiteFormat {
    /// Souls and keys are CESU-8: the order of their bytes is that of UTF-16 code units, in which GUN asks for ranges.
    static let tables = """
        CREATE TABLE graph (soul BLOB NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, state REAL NOT NULL,
            PRIMARY KEY (soul, key)) WITHOUT ROWID;
        CREATE TABLE state (namespace TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
            PRIMARY KEY (namespace, key)) WITHOUT ROWID;
        \(expiry)
        \(changes)
        """

    /// The log of changes: which key each was made to.
    private static let changes = """
        CREATE TABLE changes (number INTEGER NOT NULL PRIMARY KEY, soul BLOB NOT NULL, key BLOB NOT NULL);
        """

    private static let expiry = """
        CREATE TABLE expiry (soul BLOB NOT NULL PRIMARY KEY, expires REAL NOT NULL) WITHOUT ROWID;
        CREATE INDEX expiry_by_time ON expiry (expires);
        """

    /// Version 1 had UTF-8, or 0xff and UTF-16, in place of CESU-8: they differ above U+FFFF only.
    static func migrateFromVersion1(_ db: Database) throws {
        var renamed: [(from: (Data, Data), to: (Data, Data))] = []
        let rows = try Row.fetchCursor(db, sql: "SELECT soul, key FROM graph")
        while let row = try rows.next() {
            let (soul, key): (Data, Data) = (row[0], row[1])
            let to = (cesu8(soul), cesu8(key))
            if to.0 != soul || to.1 != key { renamed.append(((soul, key), to)) }
        }
        for (from, to) in renamed {
            try db.execute(
                sql: "UPDATE graph SET soul = ?, key = ? WHERE soul = ? AND key = ?",
                arguments: [to.0, to.1, from.0, from.1])
        }
        try db.execute(sql: expiry)
        try migrateFromVersion2(db)
    }

    /// Version 2 had no log of changes.
    static func migrateFromVersion2(_ db: Database) throws {
        try db.execute(sql: "\(changes) PRAGMA user_version = 3;")
    }

    private static func cesu8(_ bytes: Data) -> Data {
        guard bytes.contains(where: { $0 >= 0xf0 }) else { return bytes }
        let units: [UInt16] =
            bytes.first == 0xff
            ? stride(from: bytes.startIndex + 1, to: bytes.endIndex - 1, by: 2).map {
                UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1])
            } : Array(String(decoding: bytes, as: UTF8.self).utf16)
        var result = Data()
        for unit in units {
            switch unit {
            case ..<0x80: result.append(UInt8(unit))
            case ..<0x800: result.append(contentsOf: [0xc0 | UInt8(unit >> 6), 0x80 | UInt8(unit & 0x3f)])
            default:
                result.append(contentsOf: [
                    0xe0 | UInt8(unit >> 12), 0x80 | UInt8(unit >> 6 & 0x3f), 0x80 | UInt8(unit & 0x3f),
                ])
            }
        }
        return result
    }
}
