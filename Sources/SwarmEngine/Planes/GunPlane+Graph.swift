package import Gun
package import SwarmBase
import JSON

/// Why a write of the application is not taken.
package enum GraphWriteFault: Error, Equatable, Sendable {
    /// The rule of user space refuses it; the text says why.
    case refused(String)
    /// A node or value is too large for the wire.
    case tooLarge
}

/// The shared graph: what the application writes and follows, with relays and with members.
extension GunPlane {
    /// Writes records, all at one state.
    ///
    /// - Parameters:
    ///   - addresses: what will be written: the state is later than any that is held there, so that a write wins over what
    ///     its writer could see, whatever the clocks.
    ///   - make: gives the records at the state that was chosen; signatures cover it.
    /// - Returns: the records.
    @discardableResult
    package mutating func write(
        _ addresses: [(soul: Soul, key: Key)], now: Instant, wall: Double, make: (_ state: Double) -> [GunRecord]
    ) throws(GraphWriteFault) -> [GunRecord] {
        var state = clock.next(wall: wall)
        for (soul, key) in addresses {
            guard let held = client.entry(soul, key), held.state >= state else { continue }
            state = max(held.state + 0.001, held.state.nextUp)
        }
        let records = make(state)
        let limits = client.configuration.limits
        for record in records {
            guard record.soul.text.byteCount <= limits.nameBytes, record.key.text.byteCount <= limits.nameBytes,
                (record.value.text?.byteCount ?? 0) <= limits.valueBytes
            else { throw .tooLarge }
            if case .refuse(let fault) = client.verdict(on: record, wall: wall) { throw .refused(fault.string) }
        }
        var order: [Soul] = []
        var bySoul: [Soul: [(Key, GunValue)]] = [:]
        for record in records {
            if bySoul[record.soul] == nil { order.append(record.soul) }
            bySoul[record.soul, default: []].append((record.key, record.value))
        }
        for soul in order {
            client.put(soul, bySoul[soul] ?? [], state: state, durable: true, audience: .everybody, now: now)
        }
        return records
    }

    /// Follows a node, or one key of it, until ``unfollow(_:key:now:)``.
    package mutating func follow(_ soul: Soul, key: Key? = nil, now: Instant) {
        client.subscribe(soul, key: key, audience: .everybody, now: now)
    }

    package mutating func unfollow(_ soul: Soul, key: Key? = nil, now: Instant) {
        client.unsubscribe(soul, key: key, now: now)
    }

    /// What is held of a key.
    package func entry(_ soul: Soul, _ key: Key) -> GunEntry? { client.entry(soul, key) }

    /// What is held of a node.
    package func held(_ soul: Soul) -> GunNode? { client.node(soul) }

    /// Whether somebody was asked for it and has not answered yet.
    package func isAwaited(_ soul: Soul, _ key: Key?) -> Bool { client.isAwaited(soul, key) }

    /// Whether anybody could be asked.
    package var hasLinks: Bool { !client.openLinks.isEmpty }

    /// The next key that somebody else has changed: of a graph without a swarm, where nothing else is followed.
    package mutating func pollGraphChange() -> (soul: Soul, key: Key)? {
        pollChange().map { ($0.soul, $0.key) }
    }

    // MARK: Members

    private static let firstMember: UInt64 = 1 << 32

    /// A channel to a member is open.
    mutating func memberOpened(now: Instant) -> LinkID {
        memberCount += 1
        let link = LinkID(Self.firstMember + memberCount)
        client.linkOpened(link, kind: .member, now: now)
        return link
    }

    mutating func memberClosed(_ link: LinkID, now: Instant) { client.linkClosed(link, now: now) }

    mutating func receive(_ frame: [UInt8], from member: LinkID, now: Instant, wall: Double) {
        client.receive(frame: frame, on: member, now: now, wall: wall)
    }

    mutating func memberWritabilityChanged(_ link: LinkID, isWritable: Bool) {
        client.linkWritabilityChanged(link, isWritable: isWritable)
    }

    /// The next frame for a member; those for relays are put aside for ``pollLink()``.
    mutating func pollMemberFrame() -> (LinkID, [UInt8])? {
        while let (link, frame) = client.pollTransmit() {
            if link.number > Self.firstMember { return (link, frame) }
            actions.append(.send(SwarmLink(index: Int(link.number)), frame))
        }
        return nil
    }

    // MARK: What outlives a run

    /// The next change to keep.
    package mutating func pollStorage() -> StorageWrite? {
        client.pollStorage().map { GraphRecordCoding.write($0) }
    }

    /// Takes up what an earlier run kept; what is not of the graph is passed over.
    package mutating func restore(_ records: [(key: String, value: [UInt8])]) {
        client.restore(records.compactMap { GraphRecordCoding.record(key: $0.key, value: $0.value) })
    }
}
