internal import DTLS
internal import ICE
public import SCTP
public import SwarmBase

/// Data channels by handle: they exist before the DTLS role, and with it their identifiers, is known.
extension PeerConnection {
    struct Channel {
        var options: DataChannelOptions
        /// `nil` until the peer's description is here.
        var id: DataChannelID?
        /// What was sent before that.
        var waiting: [(payload: [UInt8], kind: DataChannelMessageKind, at: Instant)] = []
        var waitingBytes = 0
        var threshold = 0
    }

    /// Opens a channel. Messages may be sent on it at once: they wait for the connection.
    public mutating func openChannel(
        _ options: DataChannelOptions, now: Instant
    ) throws(PeerConnectionError) -> DataChannelHandle {
        guard state != .closed, lingerDeadline == nil else { throw .closed }
        guard channels.count < configuration.maximumChannels else { throw .limitReached }
        self.now = now
        let handle = DataChannelHandle(number: nextHandle)
        nextHandle += 1
        if sctp == nil {
            channels[handle] = Channel(options: options)
            unassigned.append(handle)
        } else {
            try openInTransport(handle, options)
        }
        settle()
        return handle
    }

    /// Sends a message; text is UTF-8.
    public mutating func send(
        _ payload: [UInt8], kind: DataChannelMessageKind, on handle: DataChannelHandle, now: Instant
    ) throws(PeerConnectionError) {
        guard state != .closed, lingerDeadline == nil else { throw .closed }
        guard let channel = channels[handle] else { throw .unknownChannel }
        self.now = now
        guard let id = channel.id else {
            guard earlyBytes + payload.count <= configuration.maximumEarlyBytes else { throw .limitReached }
            earlyBytes += payload.count
            channels[handle]?.waiting.append((payload, kind, now))
            channels[handle]?.waitingBytes += payload.count
            return
        }
        do {
            try sctp?.send(payload, kind: kind, on: id, now: now)
        } catch {
            throw .dataChannel(error)
        }
        settle()
    }

    /// Closes a channel after what was sent on it; `channelClosed` follows when both sides have.
    public mutating func close(channel handle: DataChannelHandle, now: Instant) {
        guard state != .closed, let channel = channels[handle] else { return }
        self.now = now
        if let id = channel.id {
            sctp?.close(id, now: now)
        } else {
            earlyBytes -= channel.waitingBytes
            unassigned.removeAll { $0 == handle }
            forget(handle)
        }
        settle()
    }

    /// At or below how many waiting bytes `bufferedAmountLow` tells of a channel; 0 at first.
    public mutating func setBufferedAmountLowThreshold(_ bytes: Int, of handle: DataChannelHandle) {
        channels[handle]?.threshold = bytes
        if let id = channels[handle]?.id { sctp?.setBufferedAmountLowThreshold(bytes, of: id) }
    }

    /// Bytes given to `send` on this channel and not yet handed to the network.
    public func bufferedAmount(of handle: DataChannelHandle) -> Int {
        guard let channel = channels[handle] else { return 0 }
        guard let id = channel.id else { return channel.waitingBytes }
        switch sctp {
        case .some(let transport): return transport.bufferedAmount(of: id)
        case .none: return 0
        }
    }

    /// The stream identifier of a channel, once it has one.
    public func streamIdentifier(of handle: DataChannelHandle) -> DataChannelID? { channels[handle]?.id }

    /// The options of a channel that is open or opening.
    public func options(of handle: DataChannelHandle) -> DataChannelOptions? { channels[handle]?.options }

    private mutating func openInTransport(
        _ handle: DataChannelHandle, _ options: DataChannelOptions
    ) throws(PeerConnectionError) {
        do {
            guard let id = try sctp?.open(options) else { throw PeerConnectionError.closed }
            let threshold = channels[handle]?.threshold ?? 0
            channels[handle] = Channel(options: options, id: id, threshold: threshold)
            handles[id] = handle
            if threshold > 0 { sctp?.setBufferedAmountLowThreshold(threshold, of: id) }
        } catch let error as DataChannelError {
            throw .dataChannel(error)
        } catch {
            throw .closed
        }
    }

    /// The role is known: channels get their identifiers, and what waited goes its way.
    mutating func assignChannels() {
        let waiting = unassigned
        unassigned = []
        earlyBytes = 0
        for handle in waiting {
            guard let channel = channels[handle] else { continue }
            do {
                try openInTransport(handle, channel.options)
                guard let id = channels[handle]?.id else { continue }
                let lifetime = channel.options.maxPacketLifeTime.map { Duration.milliseconds(Int64($0)) }
                for message in channel.waiting {
                    // A lifetime counts from `send` (RFC 7496 §3.1).
                    if let lifetime, now - message.at > lifetime { continue }
                    try sctp?.send(message.payload, kind: message.kind, on: id, now: now)
                }
            } catch {
                // An identifier twice, or a message that this peer does not take: that channel cannot be had.
                if let id = channels[handle]?.id { sctp?.close(id, now: now) } else { forget(handle) }
            }
        }
    }

    /// Translates what the channel layer tells.
    mutating func take(_ event: DataChannelEvent) {
        switch event {
        case .connected:
            break
        case .open(let id, let options, let byPeer):
            let handle: DataChannelHandle
            if let known = handles[id] {
                handle = known
            } else {
                handle = DataChannelHandle(number: nextHandle)
                nextHandle += 1
                handles[id] = handle
                channels[handle] = Channel(options: options, id: id)
            }
            events.append(.channelOpened(handle, options, byPeer: byPeer))
        case .message(let id, let kind, let payload):
            if let handle = handles[id] { events.append(.message(handle, kind, payload)) }
        case .bufferedAmountLow(let id):
            if let handle = handles[id] { events.append(.bufferedAmountLow(handle)) }
        case .closed(let id):
            if let handle = handles[id] { forget(handle) }
        case .disconnected(let reason):
            associationEnded(reason)
        }
    }

    private mutating func forget(_ handle: DataChannelHandle) {
        guard let channel = channels.removeValue(forKey: handle) else { return }
        if let id = channel.id { handles[id] = nil }
        events.append(.channelClosed(handle))
    }

    mutating func closeAllChannels() {
        for handle in channels.keys.sorted(by: { $0.number < $1.number }) { forget(handle) }
        unassigned = []
        earlyBytes = 0
    }
}
