import Gun
import JSON
import SwarmBase

/// The items of our own mail that are not taken yet: of each sender in the order of their numbers.
struct MailInbox: Sendable {
    /// One sender's items in one soul.
    struct Source: Hashable, Sendable {
        var soul: Soul
        var tag: String
    }

    /// What the key of an item says.
    enum Name: Equatable {
        case item(UInt32)
        case acknowledgement
    }

    /// The most items that wait at a time.
    static let most = 65_536

    private var waiting: [Source: [UInt32]] = [:]
    private var count = 0
    /// The item that a source cannot go on with before others have come.
    var opened: [Source: (number: UInt32, item: MailItem)] = [:]

    var sources: [Source] { waiting.keys.sorted { ($0.soul, $0.tag) < ($1.soul, $1.tag) } }

    func first(of source: Source) -> UInt32? { waiting[source]?.first }

    mutating func insert(_ number: UInt32, of source: Source) {
        guard count < Self.most else { return }
        var numbers = waiting[source] ?? []
        let index = numbers.partitioningIndex(where: { $0 >= number })
        guard index == numbers.endIndex || numbers[index] != number else { return }
        numbers.insert(number, at: index)
        waiting[source] = numbers
        count += 1
    }

    mutating func remove(_ number: UInt32, of source: Source) {
        guard let index = waiting[source]?.firstIndex(of: number) else { return }
        waiting[source]?.remove(at: index)
        count -= 1
        if waiting[source]?.isEmpty == true { waiting[source] = nil }
        opened[source] = nil
    }

    /// A soul is read no more.
    mutating func forget(_ soul: Soul) {
        for source in waiting.keys where source.soul == soul {
            count -= waiting[source]?.count ?? 0
            waiting[source] = nil
            opened[source] = nil
        }
    }

    // MARK: Keys

    static func key(_ tag: String, _ name: Name) -> String {
        switch name {
        case .item(let number):
            let digits = String(number)
            return tag + "/" + String(repeating: "0", count: max(0, 8 - digits.utf8.count)) + digits
        case .acknowledgement: return tag + "/ack"
        }
    }

    static func parse(_ key: String) -> (tag: String, name: Name)? {
        let parts = key.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, (1...64).contains(parts[0].utf8.count) else { return nil }
        if parts[1] == "ack" { return (String(parts[0]), .acknowledgement) }
        guard parts[1].utf8.count == 8, parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = UInt32(parts[1])
        else { return nil }
        return (String(parts[0]), .item(number))
    }
}
