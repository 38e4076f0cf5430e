import Foundation
import SwarmBase
import Testing

@testable import SwarmTransport

/// A directory that goes away with the test.
final class TemporaryDirectory: Sendable {
    let path: String
    init() throws {
        path = NSTemporaryDirectory() + "swarm-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// Both stores must pass the same suite.
enum StoreKind: String, CaseIterable, Sendable {
    case memory, sqlite

    func make(_ directory: TemporaryDirectory) throws -> any GraphStore & StateStore {
        switch self {
        case .memory: MemoryStore()
        case .sqlite: try SQLiteStore(path: directory.path + "/store.sqlite")
        }
    }
}

func record(_ soul: String, _ key: String, _ value: String, _ state: Double) -> GraphRecord {
    GraphRecord(soul: Array(soul.utf8), key: Array(key.utf8), value: Array(value.utf8), state: state)
}

extension GraphStore {
    func load(soul: [UInt8], key: [UInt8]? = nil, limit: Int = .max) async throws -> [GraphRecord] {
        var range = key.map { GraphRange(soul: soul, key: $0) } ?? GraphRange(soul: soul)
        range.limit = min(range.limit, limit)
        return try await load(range).records
    }

    func records(after: (soul: [UInt8], key: [UInt8])? = nil, limit: Int) async throws -> [GraphRecord] {
        let start = after.map { GraphAddress(soul: $0.soul, key: $0.key + [0]) } ?? GraphAddress(soul: [])
        return try await load(GraphRange(from: start, to: nil, limit: limit)).records
    }
}

@Suite struct StoreConformanceTests {
    @Test(arguments: StoreKind.allCases)
    func recordsComeBackExactly(kind: StoreKind) async throws {
        let directory = try TemporaryDirectory()
        let store = try kind.make(directory)
        // Bytes that are no UTF-8 (a lone surrogate), NUL, emptiness; states with fractions and of all signs.
        let odd = GraphRecord(soul: [0xed, 0xa0, 0x80, 0], key: [], value: [], state: -1e308)
        let records = [
            record("a", "z", "1", 1795346752735.001), record("a", "b", "\"x\"", 0), record("a", "", "null", -2.5), odd,
            record("A", "b", "true", .leastNonzeroMagnitude),
        ]
        try await store.store(records)
        #expect(try await store.load(soul: Array("a".utf8)) == [records[2], records[1], records[0]])
        #expect(try await store.load(soul: Array("a".utf8), key: Array("z".utf8)) == [records[0]])
        #expect(try await store.load(soul: odd.soul) == [odd])
        #expect(try await store.load(soul: Array("A".utf8)) == [records[4]])
        #expect(try await store.load(soul: Array("a".utf8), key: Array("y".utf8)) == [])
        #expect(try await store.load(soul: Array("none".utf8)) == [])
        #expect(try await store.load(soul: Array("a".utf8), limit: 2) == [records[2], records[1]])
        #expect(try await store.load(soul: Array("a".utf8), limit: 0) == [])
    }

    @Test(arguments: StoreKind.allCases)
    func theLastOfAKeyStays(kind: StoreKind) async throws {
        let directory = try TemporaryDirectory()
        let store = try kind.make(directory)
        try await store.store([record("s", "k", "1", 5), record("s", "k", "2", 6)])
        #expect(try await store.load(soul: Array("s".utf8)) == [record("s", "k", "2", 6)])
        // Who wins is not the store's business.
        try await store.store([record("s", "k", "0", 1)])
        #expect(try await store.load(soul: Array("s".utf8)) == [record("s", "k", "0", 1)])
    }

    @Test(arguments: StoreKind.allCases)
    func everythingCanBeWalkedInPages(kind: StoreKind) async throws {
        let directory = try TemporaryDirectory()
        let store = try kind.make(directory)
        let all = (0..<7).flatMap { soul in (0..<5).map { record("s\(soul)", "k\($0)", "\($0)", 1) } }
        try await store.store(all.shuffled())
        var walked: [GraphRecord] = []
        while true {
            let page = try await store.records(after: walked.last.map { ($0.soul, $0.key) }, limit: 4)
            #expect(page.count <= 4)
            if page.isEmpty { break }
            walked += page
        }
        #expect(walked == all)
    }

    @Test(arguments: StoreKind.allCases)
    func nodesCanBeForgotten(kind: StoreKind) async throws {
        let directory = try TemporaryDirectory()
        let store = try kind.make(directory)
        try await store.store([record("a", "1", "1", 1), record("a", "2", "1", 1), record("b", "1", "1", 1)])
        try await store.remove(souls: [Array("a".utf8), Array("none".utf8)])
        #expect(try await store.records(limit: 10) == [record("b", "1", "1", 1)])
    }

    @Test(arguments: StoreKind.allCases)
    func rangesAreReadFromBothEndsAndInSlices(kind: StoreKind) async throws {
        let directory = try TemporaryDirectory()
        let store = try kind.make(directory)
        let all = (0..<40).flatMap { soul in (0..<30).map { record("s\(soul + 10)", "k\($0 + 10)", "12345678", 1) } }
        for part in stride(from: 0, to: all.count, by: 100) {
            try await store.store(Array(all.shuffled()[part..<min(part + 100, all.count)]))
        }
        try await store.store(all)
        let from = GraphAddress(soul: Array("s12".utf8), key: Array("k35".utf8))
        let to = GraphAddress(soul: Array("s14".utf8), key: Array("k12".utf8))
        let expected = all.filter {
            let address = GraphAddress(soul: $0.soul, key: $0.key)
            return from <= address && address < to
        }
        #expect(expected.count == 5 + 30 + 2)
        let whole = GraphRange(from: from, to: to)
        #expect(try await store.load(whole) == GraphSlice(records: expected, isComplete: true))
        var backwards = whole
        backwards.isReversed = true
        #expect(try await store.load(backwards) == GraphSlice(records: expected.reversed(), isComplete: true))
        for isReversed in [false, true] {
            // One after the other, by count and by bytes; the limits are kept, and at least one record always comes.
            var range = GraphRange(from: from, to: to, isReversed: isReversed, limit: 7)
            var read: [GraphRecord] = []
            var slices = 0
            while true {
                let slice = try await store.load(range)
                slices += 1
                #expect(slice.records.count <= 7 && !slice.records.isEmpty)
                read += slice.records
                guard !slice.isComplete, let last = slice.records.last else { break }
                let address = GraphAddress(soul: last.soul, key: last.key)
                if isReversed {
                    range.to = address
                } else {
                    range.from = GraphAddress(soul: last.soul, key: last.key + [0])
                }
            }
            #expect(read == (isReversed ? expected.reversed() : expected) && slices == 6)
            let byBytes = try await store.load(GraphRange(from: from, to: to, isReversed: isReversed, byteLimit: 17))
            #expect(byBytes.records.count == 3 && !byBytes.isComplete)
            let least = try await store.load(GraphRange(from: from, to: to, isReversed: isReversed, byteLimit: 0))
            #expect(least.records.count == 1)
        }
        let node = try await store.load(GraphRange(soul: Array("s20".utf8)))
        #expect(node.records.count == 30 && node.isComplete)
        #expect(try await store.load(GraphRange(soul: Array("s".utf8))) == GraphSlice(records: [], isComplete: true))
        #expect(try await store.load(GraphRange(from: GraphAddress(soul: [0xff]), to: nil)).records.isEmpty)
    }

    @Test(arguments: StoreKind.allCases)
    func nodesAreForgottenWhenTheirTimeIsOver(kind: StoreKind) async throws {
        let directory = try TemporaryDirectory()
        let store = try kind.make(directory)
        func fleeting(_ soul: String, _ key: String, _ expires: Double) -> GraphRecord {
            var fleeting = record(soul, key, "1", 1)
            fleeting.expires = expires
            return fleeting
        }
        try await store.store([fleeting("a", "1", 100), fleeting("b", "1", 100), record("c", "1", "1", 1)])
        try await store.store([fleeting("a", "2", 200), fleeting("a", "3", 50)])
        #expect(try await store.expire(before: 100, limit: 10) == 0)
        #expect(try await store.expire(before: 150, limit: 10) == 1)
        #expect(try await store.records(limit: 10).map(\.soul) == ["a", "a", "a", "c"].map { Array($0.utf8) })
        #expect(try await store.expire(before: 1e12, limit: 10) == 1)
        #expect(try await store.records(limit: 10).map(\.soul) == [Array("c".utf8)])
        #expect(try await store.expire(before: 1e12, limit: 10) == 0)
    }

    @Test(arguments: StoreKind.allCases)
    func loadsSeeTheStoresBeforeThem(kind: StoreKind) async throws {
        let directory = try TemporaryDirectory()
        let store = try kind.make(directory)
        for round in 0..<50 {
            // Not awaited: only the order of the calls counts.
            store.store([record("s", "k", "\(round)", Double(round))], firstChange: nil) { _ in }
            let seen = try await store.load(soul: Array("s".utf8))
            #expect(seen == [record("s", "k", "\(round)", Double(round))])
        }
    }

    @Test(arguments: StoreKind.allCases)
    func namespacesAreApartAndOrdered(kind: StoreKind) async throws {
        let directory = try TemporaryDirectory()
        let store = try kind.make(directory)
        try await store.apply([
            StateChange(namespace: "peers", key: [2], value: [20]),
            StateChange(namespace: "peers", key: [1], value: []),
            StateChange(namespace: "outbox", key: [1], value: [9]),
            StateChange(namespace: "peers", key: [], value: [7]),
        ])
        #expect(
            try await store.load(namespace: "peers") == [
                StateEntry(key: [], value: [7]), StateEntry(key: [1], value: []), StateEntry(key: [2], value: [20]),
            ])
        // Within one batch the later change counts; deleting what is not there is nothing.
        try await store.apply([
            StateChange(namespace: "peers", key: [1], value: nil),
            StateChange(namespace: "peers", key: [2], value: [21]),
            StateChange(namespace: "peers", key: [3], value: [3]),
            StateChange(namespace: "peers", key: [3], value: nil),
            StateChange(namespace: "peers", key: [9], value: nil),
        ])
        #expect(
            try await store.load(namespace: "peers") == [
                StateEntry(key: [], value: [7]), StateEntry(key: [2], value: [21]),
            ])
        #expect(try await store.load(namespace: "outbox") == [StateEntry(key: [1], value: [9])])
        #expect(try await store.load(namespace: "none") == [])
    }

    @Test(arguments: StoreKind.allCases)
    func concurrentWritersAllSucceed(kind: StoreKind) async throws {
        let directory = try TemporaryDirectory()
        let store = try kind.make(directory)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 0..<20 {
                group.addTask {
                    for round in 0..<20 { try await store.store([record("s\(writer)", "k\(round)", "1", 1)]) }
                }
            }
            try await group.waitForAll()
        }
        #expect(try await store.records(limit: 1000).count == 400)
    }

    @Test(arguments: StoreKind.allCases)
    func theLogSaysWhatHasChanged(kind: StoreKind) async throws {
        let directory = try TemporaryDirectory()
        let store = try kind.make(directory)
        #expect(try await store.changeNumbers == nil)
        try await store.store([record("quiet", "k", "0", 1)])
        try await store.store([record("a", "k", "1", 1), record("b", "k", "2", 1)], firstChange: 7)
        try await store.store([record("a", "k", "3", 2), record("c", "k", "4", 1)], firstChange: 9)
        #expect(try await store.changeNumbers == 7...10)
        // What the keys hold now, in the order of the changes, a few at a time.
        let first = try await store.loadChanges(after: 0, through: 10, limit: 2)
        #expect(first == ChangeSlice(records: [record("a", "k", "3", 2), record("b", "k", "2", 1)], through: 8))
        let rest = try await store.loadChanges(after: 8, through: 10, limit: 2)
        #expect(rest.records == [record("a", "k", "3", 2), record("c", "k", "4", 1)] && rest.through == 10)
        #expect(try await store.loadChanges(after: 8, through: 9, limit: 9).records.count == 1)
        #expect(try await store.loadChanges(after: 10, through: 12, limit: 9) == ChangeSlice(records: [], through: 12))
        // What is not there any more is passed over; what is forgotten here stays in the graph.
        try await store.remove(souls: [Array("b".utf8)])
        #expect(try await store.loadChanges(after: 7, through: 8, limit: 9) == ChangeSlice(records: [], through: 8))
        try await store.forgetChanges(through: 9)
        #expect(try await store.changeNumbers == 10...10)
        #expect(try await store.load(soul: Array("a".utf8)).count == 1)
        try await store.forgetChanges(through: 10)
        #expect(try await store.changeNumbers == nil)
    }

    @Test func bothStoresAgreeOnRandomHistories() async throws {
        for seed in UInt64(1)...5 {
            let directory = try TemporaryDirectory()
            let sqlite = try StoreKind.sqlite.make(directory)
            let memory = try StoreKind.memory.make(directory)
            var generator = SeededGenerator(seed: seed)
            for _ in 0..<60 {
                let soul = generator.bytes(Int.random(in: 0...1, using: &generator)).map { $0 & 3 }
                let key = generator.bytes(Int.random(in: 0...2, using: &generator)).map { $0 & 1 }
                let value = generator.bytes(Int.random(in: 0...3, using: &generator))
                let keep = Bool.random(using: &generator)
                for store in [sqlite, memory] {
                    try await store.store([GraphRecord(soul: soul, key: key, value: value, state: 1)])
                    try await store.apply([StateChange(namespace: "n", key: key, value: keep ? value : nil)])
                    if value.count == 3 { try await store.remove(souls: [soul]) }
                }
            }
            #expect(try await sqlite.records(limit: 1000) == memory.records(limit: 1000), "seed \(seed)")
            #expect(try await sqlite.load(namespace: "n") == memory.load(namespace: "n"), "seed \(seed)")
        }
    }
}

@Suite struct SQLiteStoreTests {
    @Test func aCleanlyClosedStoreIsThereAgain() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/store.sqlite"
        let store = try SQLiteStore(path: path)
        // Not awaited: closing waits for it.
        store.store([record("s", "k", "1", 1)], firstChange: nil) { _ in }
        store.close()
        store.close()
        await #expect(throws: StoreError.closed) { try await store.store([record("s", "k", "2", 2)]) }
        let again = try SQLiteStore(path: path)
        #expect(try await again.records(limit: 10) == [record("s", "k", "1", 1)])
    }

    @Test func whatWasAcknowledgedSurvivesSIGKILL() async throws {
        let path = NSTemporaryDirectory() + "swarm-kill-" + UUID().uuidString
        defer { for tail in ["", "-wal", "-shm"] { unsafe unlink(path + tail) } }
        unsafe setenv("SWARM_TEST_STORE", path, 1)
        await #expect(processExitsWith: .signal(SIGKILL)) {
            let path = try #require(ProcessInfo.processInfo.environment["SWARM_TEST_STORE"])
            let store = try SQLiteStore(path: path)
            for round in 0..<30 { try await store.store([record("s", "k\(round)", "1", 1)]) }
            kill(getpid(), SIGKILL)
        }
        let store = try SQLiteStore(path: path)
        #expect(try await store.records(limit: 100).count == 30)
        try await store.store([record("s", "more", "1", 1)])
        #expect(try await store.records(limit: 100).count == 31)
    }

    @Test func onlyTheOwnerMayReadAndOnlyOneProcessMayWrite() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/store.sqlite"
        _ = FileManager.default.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o644])
        let store = try SQLiteStore(path: path)
        try await store.store([record("s", "k", "1", 1)])
        for file in try FileManager.default.contentsOfDirectory(atPath: directory.path) {
            let attributes = try FileManager.default.attributesOfItem(atPath: directory.path + "/" + file)
            #expect(attributes[.posixPermissions] as? Int == 0o600, "\(file)")
        }
        var impatient = SQLiteStoreConfiguration()
        impatient.openTimeout = .milliseconds(20)
        #expect(throws: StoreError.inUse(path: path)) { _ = try SQLiteStore(path: path, configuration: impatient) }
    }

    @Test func otherFilesAreLeftAlone() async throws {
        let directory = try TemporaryDirectory()
        let text = directory.path + "/text"
        try Data(repeating: 0x41, count: 5000).write(to: URL(fileURLWithPath: text))
        #expect {
            _ = try SQLiteStore(path: text)
        } throws: {
            if case .cannotOpen = $0 as? StoreError { true } else { false }
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: text)) == Data(repeating: 0x41, count: 5000))
        #expect {
            _ = try SQLiteStore(path: directory.path + "/no/such/place")
        } throws: {
            if case .cannotOpen = $0 as? StoreError { true } else { false }
        }
    }

    @Test func aFullStoreSaysSoAndKeepsServing() async throws {
        let directory = try TemporaryDirectory()
        var configuration = SQLiteStoreConfiguration()
        configuration.maximumFileBytes = 64 * 4096
        let store = try SQLiteStore(path: directory.path + "/store.sqlite", configuration: configuration)
        try await store.store([record("small", "k", "1", 1)])
        let large = GraphRecord(soul: [1], key: [1], value: [UInt8](repeating: 0x31, count: 1 << 20), state: 1)
        await #expect(throws: StoreError.full) { try await store.store([large]) }
        #expect(try await store.load(soul: [1]) == [])
        try await store.store([record("small", "l", "1", 1)])
        #expect(try await store.load(soul: Array("small".utf8)).count == 2)
    }

    @Test func whatWaitsForTheDiskIsBounded() async throws {
        let directory = try TemporaryDirectory()
        var configuration = SQLiteStoreConfiguration()
        configuration.maximumPendingBytes = 4096
        let store = try SQLiteStore(path: directory.path + "/store.sqlite", configuration: configuration)
        // A single operation above the bound passes; many at once do not all.
        try await store.store([GraphRecord(soul: [1], key: [1], value: [UInt8](repeating: 0, count: 8192), state: 1)])
        let results = await withTaskGroup(of: StoreError?.self) { group in
            for index in 0..<200 {
                group.addTask {
                    do throws(StoreError) {
                        try await store.store([
                            GraphRecord(
                                soul: [2], key: [UInt8(index)], value: [UInt8](repeating: 0, count: 2048), state: 1)
                        ])
                        return nil
                    } catch { return error }
                }
            }
            return await group.reduce(into: [StoreError?]()) { $0.append($1) }
        }
        let stored = try await store.load(soul: [2]).count
        #expect(results.filter { $0 == nil }.count == stored)
        #expect(results.allSatisfy { $0 == nil || $0 == .overloaded })
        #expect(stored >= 1)
    }
}

@Suite struct DataDirectoryTests {
    @Test func everythingIsPrivate() throws {
        let outside = try TemporaryDirectory()
        let directory = try DataDirectory(path: outside.path + "/a/b//")
        #expect(directory.path == outside.path + "/a/b")
        #expect(try directory.readIdentity() == nil)
        #expect(try directory.createIdentity([1, 2]) == [1, 2])
        // Whoever comes second gets what is there.
        #expect(try directory.createIdentity([3]) == [1, 2])
        #expect(try directory.readIdentity() == [1, 2])
        try directory.replaceIdentity([4])
        #expect(try DataDirectory(path: directory.path).readIdentity() == [4])
        for (path, mode) in [("/a", 0o700), ("/a/b", 0o700), ("/a/b/identity.json", 0o600)] {
            let attributes = try FileManager.default.attributesOfItem(atPath: outside.path + path)
            #expect(attributes[.posixPermissions] as? Int == mode, "\(path)")
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["identity.json"])
    }

    @Test func whatCannotBeDoneIsSaid() throws {
        let outside = try TemporaryDirectory()
        let file = outside.path + "/file"
        try Data().write(to: URL(fileURLWithPath: file))
        #expect(throws: FileError(operation: "open the directory", path: file, number: ENOTDIR)) {
            _ = try DataDirectory(path: file)
        }
        let directory = try DataDirectory(path: outside.path)
        try Data(count: DataDirectory.maximumIdentityBytes).write(to: URL(fileURLWithPath: directory.identityPath))
        #expect(try directory.readIdentity()?.count == DataDirectory.maximumIdentityBytes)
        try Data(count: DataDirectory.maximumIdentityBytes + 1).write(to: URL(fileURLWithPath: directory.identityPath))
        #expect(throws: FileError(operation: "read", path: directory.identityPath, number: EFBIG)) {
            _ = try directory.readIdentity()
        }
    }
}
