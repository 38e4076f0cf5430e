public import SwarmBase

/// The data channels of one peer connection: an association and the establishment protocol above it (RFC 8831, 8832).
///
/// After any `handle…` or command the owner drains `pollTransmit`, then `pollEvent`, and reads `nextTimeout` again. An
/// owner that stops reading events closes the receive window, and so slows the peer down.
public struct DataChannelTransport: ~Copyable, Sendable {
    private struct Channel: Sendable {
        enum Phase: Sendable {
            /// Nothing has come from the peer on it: unordered messages still travel in order behind OPEN.
            case opening
            case open
            case closing
        }

        var options: DataChannelOptions
        var phase = Phase.opening
        /// Whether the owner has heard of it (a refused OPEN leaves a channel nobody hears of, to be reset).
        var isAnnounced = true
        var isOutgoingReset = false
        var isIncomingReset = false
        /// The peer has closed its end, knows that ours is closed, and uses the number again before the answer to our own
        /// request is here: its OPEN waits for that.
        var next: DataChannelOptions?
        /// And it has closed that one again.
        var isNextReset = false
    }

    /// A message for a number nobody has opened yet.
    private struct EarlyMessage: Sendable {
        var id: DataChannelID
        var kind: DataChannelMessageKind
        var payload: [UInt8]
    }

    /// How many bytes of early messages are kept, and how many messages.
    private static let maxEarlyBytes = 65_536
    private static let maxEarlyMessages = 256

    private(set) var association: SCTPAssociation
    private let firstID: DataChannelID
    private let maxOutgoingSize: Int
    private var channels = ChannelTable<Channel>()
    private var early: [EarlyMessage] = []
    private var earlyBytes = 0
    /// No number of our parity below this one is free.
    private var lowestFreeID: Int
    private var isConnected = false
    private var isDisconnected = false
    private var events = RingBuffer<DataChannelEvent>(filler: .connected)
    private var now = Instant.zero

    /// Makes the channels of one connection.
    ///
    /// - Parameters:
    ///   - isDTLSClient: the DTLS client opens even numbers, the server odd ones (RFC 8832 §6).
    ///   - remoteMaxMessageSize: the peer's `a=max-message-size` in bytes; 0 for no limit (RFC 8841 §6.1).
    public init(
        configuration: SCTPConfiguration = .init(), isDTLSClient: Bool, remoteMaxMessageSize: Int, entropy: Entropy
    ) {
        self.init(
            association: SCTPAssociation(configuration: configuration, entropy: entropy),
            isDTLSClient: isDTLSClient, remoteMaxMessageSize: remoteMaxMessageSize)
    }

    /// The same over a given association, for tests of the wrap-around.
    init(association: consuming SCTPAssociation, isDTLSClient: Bool, remoteMaxMessageSize: Int) {
        let limit = association.configuration.maxMessageSize
        self.association = association
        firstID = isDTLSClient ? 0 : 1
        lowestFreeID = Int(firstID)
        maxOutgoingSize =
            remoteMaxMessageSize > 0 ? min(remoteMaxMessageSize, limit) : limit
    }

    // MARK: Commands

    /// Sets the association up; DTLS is.
    public mutating func connect(now: Instant) {
        self.now = now
        association.connect(now: now)
    }

    /// Opens a channel, also before the association is up. Messages may be sent on it at once.
    ///
    /// - Returns: its number.
    public mutating func open(_ options: DataChannelOptions) throws(DataChannelError) -> DataChannelID {
        guard !isDisconnected else { throw .disconnected }
        let label = options.label.utf8.count
        let name = options.protocol.utf8.count
        guard label <= Int(UInt16.max), name <= Int(UInt16.max), 12 + label + name <= maxOutgoingSize else {
            throw .nameTooLong
        }
        if let id = options.negotiatedID {
            guard Int(id) < maxChannels, !channels.contains(id) else { throw .idUnavailable(id) }
            channels[id] = Channel(options: options)
            association.setPriority(options.priority, of: id)
            if isConnected {
                channels[id]?.phase = .open
                events.append(.open(id, options, byPeer: false))
            }
            deliverEarly(for: id)
            return id
        }
        let id = try takeFreeID()
        channels[id] = Channel(options: options)
        association.setPriority(options.priority, of: id)
        do {
            try sendControl(.open(options), on: id)
        } catch {
            channels[id] = nil
            throw error
        }
        return id
    }

    /// Sends a message; it may have no bytes. Text is UTF-8: a peer that gets anything else closes the channel.
    public mutating func send(
        _ payload: [UInt8], kind: DataChannelMessageKind, on id: DataChannelID, now: Instant
    ) throws(DataChannelError) {
        self.now = now
        guard !isDisconnected else { throw .disconnected }
        guard
            let (phase, isOrdered, reliability) = channels.read(
                id, { ($0.phase, $0.options.isOrdered, $0.options.reliability) }), phase != .closing
        else { throw .notOpen }
        guard payload.count <= maxOutgoingSize else { throw .messageTooLarge(limit: maxOutgoingSize) }
        var options = SCTPSendOptions(isUnordered: !isOrdered && phase == .open)
        switch reliability {
        case .reliable: break
        case .maxRetransmits(let count): options.maxRetransmits = count
        case .maxPacketLifeTime(let milliseconds): options.lifetime = .milliseconds(Int64(milliseconds))
        }
        let identifier =
            switch (kind, payload.isEmpty) {
            case (.text, false): PayloadProtocol.text
            case (.binary, false): PayloadProtocol.binary
            case (.text, true): PayloadProtocol.emptyText
            case (.binary, true): PayloadProtocol.emptyBinary
            }
        do {
            // SCTP has no empty messages: one zero byte stands for none (RFC 8831 §6.6).
            try association.send(
                payload.isEmpty ? [0] : payload, payloadProtocol: identifier, on: id, options: options, now: now)
        } catch {
            throw DataChannelError(error, id: id)
        }
    }

    /// Closes a channel: what was sent is flushed, then both directions are reset (RFC 8831 §6.7).
    public mutating func close(_ id: DataChannelID, now: Instant) {
        self.now = now
        guard let phase = channels.read(id, { $0.phase }), phase != .closing else { return }
        channels[id]?.phase = .closing
        association.resetStreams([id])
        pump()
    }

    /// Ends everything after what was sent has arrived.
    public mutating func shutdown(now: Instant) {
        self.now = now
        association.shutdown(now: now)
        pump()
    }

    /// Ends everything at once, as a browser's `close()` does.
    public mutating func abort(now: Instant) {
        self.now = now
        association.abort(now: now)
        pump()
    }

    /// ICE has switched or recovered the path: see `SCTPAssociation.pathChanged`.
    public mutating func pathChanged(now: Instant) {
        self.now = now
        association.pathChanged(now: now)
        pump()
    }

    /// At or below how many waiting bytes `bufferedAmountLow` tells of a channel; 0 at first.
    public mutating func setBufferedAmountLowThreshold(_ bytes: Int, of id: DataChannelID) {
        guard channels.contains(id) else { return }
        association.setBufferedAmountLowThreshold(bytes, of: id)
    }

    // MARK: Input

    /// Takes one SCTP packet: the content of one DTLS record.
    public mutating func handle(packet: [UInt8], now: Instant) {
        self.now = now
        association.handle(packet: packet, now: now)
        pump()
    }

    /// Acts on the timers that are due.
    public mutating func handleTimeout(now: Instant) {
        self.now = now
        association.handleTimeout(now: now)
        pump()
    }

    // MARK: Output

    /// The next SCTP packet: the content of one DTLS record.
    public mutating func pollTransmit(now: Instant) -> [UInt8]? {
        self.now = now
        return association.pollTransmit(now: now)
    }

    /// Whether the packet that `pollTransmit` gave last must not be fragmented on its way: see
    /// `SCTPAssociation.forbidsFragmentation`.
    public var forbidsFragmentation: Bool { association.forbidsFragmentation }

    /// How large packets may be now, in bytes.
    public var packetSize: Int { association.packetSize }

    /// The next event.
    public mutating func pollEvent() -> DataChannelEvent? {
        while true {
            if !events.isEmpty, let event = events.popFirst() {
                if case .message(_, _, let payload) = event {
                    association.release(Self.charge(payload), now: now)
                }
                return event
            }
            guard !association.isQuiet, let event = association.pollEvent() else { return nil }
            // The usual case takes the short way.
            if case .message(let id, PayloadProtocol.binary, let payload) = event,
                channels.read(id, { $0.phase }) == .open
            {
                association.release(payload.count, now: now)
                return .message(id, .binary, payload)
            }
            act(on: event)
        }
    }

    /// When `handleTimeout` wants to be called.
    public var nextTimeout: Instant? { association.nextTimeout }

    // MARK: Properties

    /// Bytes given to `send` on a channel that were not sent once.
    public func bufferedAmount(of id: DataChannelID) -> Int { association.bufferedAmount(of: id) }

    /// Bytes given to `send` on all channels that were not sent once.
    public var bufferedAmount: Int { association.bufferedAmount }

    /// The largest message `send` takes, in bytes.
    public var maxMessageSize: Int { maxOutgoingSize }

    /// The smoothed round-trip time, once measured.
    public var roundTripTime: Duration? { association.roundTripTime }

    /// What the owner knows of a channel; `nil` when there is none of this number.
    public func options(of id: DataChannelID) -> DataChannelOptions? {
        channels[id].flatMap { $0.isAnnounced ? $0.options : nil }
    }

    // MARK: The association's events

    /// Takes all the association has to tell, so that answers leave with the next packet. Binary messages alone need no
    /// answer: they stay where they are.
    private mutating func pump() {
        guard association.needsAttention else { return }
        while let event = association.pollEvent() { act(on: event) }
    }

    private mutating func act(on event: SCTPEvent) {
        switch event {
        case .connected: connected()
        case .message(let stream, let identifier, let payload):
            receive(payload, payloadProtocol: identifier, on: stream)
        case .incomingStreamsReset(let streams): incomingReset(streams ?? channels.ids)
        case .outgoingStreamsReset(let streams): outgoingReset(streams)
        case .bufferedAmountLow(let id):
            if let channel = channels[id], channel.isAnnounced, channel.phase != .closing {
                events.append(.bufferedAmountLow(id))
            }
        case .closed(let reason): disconnect(reason)
        }
    }

    /// How many streams can be channels: 65,535 is not used (RFC 8831 §6.2).
    private var maxChannels: Int { min(association.usableStreams, 65_535) }

    private mutating func connected() {
        isConnected = true
        events.append(.connected)
        for id in channels.ids {
            guard let channel = channels[id] else { continue }
            if Int(id) >= maxChannels {
                // The peer takes fewer streams than we hoped.
                channels[id] = nil
                events.append(.closed(id))
            } else if channel.options.negotiatedID != nil, channel.phase == .opening {
                channels[id]?.phase = .open
                events.append(.open(id, channel.options, byPeer: false))
            }
        }
    }

    private mutating func disconnect(_ reason: SCTPCloseReason) {
        isDisconnected = true
        for id in channels.ids where channels[id]?.isAnnounced == true { events.append(.closed(id)) }
        channels.removeAll()
        early = []
        earlyBytes = 0
        events.append(.disconnected(reason))
    }

    // MARK: Messages

    private mutating func receive(_ payload: [UInt8], payloadProtocol: UInt32, on id: DataChannelID) {
        switch payloadProtocol {
        case PayloadProtocol.control:
            let size = payload.count
            handleControl(payload, on: id)
            association.release(size, now: now)
        case PayloadProtocol.text: receive(payload, kind: .text, on: id)
        case PayloadProtocol.binary: receive(payload, kind: .binary, on: id)
        case PayloadProtocol.emptyText where payload.count == 1: receive([], kind: .text, on: id)
        case PayloadProtocol.emptyBinary where payload.count == 1: receive([], kind: .binary, on: id)
        default:
            // Not of data channels, or of a form long out of use: the message is dropped, the channel stays.
            association.release(payload.count, now: now)
        }
    }

    private mutating func receive(_ payload: [UInt8], kind: DataChannelMessageKind, on id: DataChannelID) {
        guard let phase = channels.read(id, { $0.phase }) else {
            keepEarly(EarlyMessage(id: id, kind: kind, payload: payload))
            association.release(Self.charge(payload), now: now)
            return
        }
        guard phase != .closing else {
            if channels[id]?.isIncomingReset == true {
                keepEarly(EarlyMessage(id: id, kind: kind, payload: payload))
            }
            association.release(Self.charge(payload), now: now)
            return
        }
        if phase == .opening { acknowledged(id) }
        if kind == .text, (try? UTF8Span(validating: payload.span)) == nil {
            association.release(Self.charge(payload), now: now)
            close(id, now: now)
            return
        }
        events.append(.message(id, kind, payload))
    }

    /// What a message weighs in the receive window: an empty one has a byte there.
    private static func charge(_ payload: [UInt8]) -> Int { max(1, payload.count) }

    /// Unordered data can overtake OPEN, and data of negotiated channels the peer's own `open`: they are kept, within
    /// bounds.
    private mutating func keepEarly(_ message: EarlyMessage) {
        guard early.count < Self.maxEarlyMessages, earlyBytes + message.payload.count <= Self.maxEarlyBytes else {
            return
        }
        early.append(message)
        earlyBytes += message.payload.count
    }

    private mutating func deliverEarly(for id: DataChannelID) {
        guard !early.isEmpty else { return }
        let messages = early.filter { $0.id == id }
        forgetEarly(id)
        for message in messages {
            association.charge(Self.charge(message.payload))
            receive(message.payload, kind: message.kind, on: id)
        }
    }

    private mutating func forgetEarly(_ id: DataChannelID) {
        early.removeAll { $0.id == id }
        earlyBytes = early.reduce(0) { $0 + $1.payload.count }
    }

    // MARK: Establishment

    private mutating func handleControl(_ bytes: [UInt8], on id: DataChannelID) {
        let message: ControlMessage
        do {
            message = try ControlMessage(parsing: bytes)
        } catch {
            // What cannot be understood as an OPEN still took the number: give it back.
            if !channels.contains(id) { refuse(id) }
            return
        }
        switch message {
        case .ack:
            if channels[id]?.phase == .opening { acknowledged(id) }
        case .open(let options):
            guard id != .max, id & 1 != firstID, Int(id) < maxChannels, !channels.contains(id) else {
                if id & 1 != firstID, channels[id]?.isIncomingReset == true {
                    channels[id]?.next = options
                } else if channels.contains(id) {
                    close(id, now: now)
                } else {
                    refuse(id)
                }
                return
            }
            accept(id, options)
        }
    }

    /// The peer opened a channel.
    private mutating func accept(_ id: DataChannelID, _ options: DataChannelOptions) {
        channels[id] = Channel(options: options, phase: .open)
        association.setPriority(options.priority, of: id)
        events.append(.open(id, options, byPeer: true))
        // Refused only while the association ends; then nobody waits for it.
        try? sendControl(.ack, on: id)
        deliverEarly(for: id)
    }

    private mutating func acknowledged(_ id: DataChannelID) {
        guard let channel = channels[id] else { return }
        channels[id]?.phase = .open
        events.append(.open(id, channel.options, byPeer: false))
    }

    /// Answers an OPEN that cannot be accepted with a reset of its stream (RFC 8832 §6).
    private mutating func refuse(_ id: DataChannelID) {
        guard !channels.contains(id), Int(id) < maxChannels else { return }
        forgetEarly(id)
        channels[id] = Channel(options: DataChannelOptions(label: ""), phase: .closing, isAnnounced: false)
        association.resetStreams([id])
    }

    private mutating func sendControl(_ message: ControlMessage, on id: DataChannelID) throws(DataChannelError) {
        do {
            try association.enqueue(message.bytes, payloadProtocol: PayloadProtocol.control, on: id, now: now)
        } catch {
            throw DataChannelError(error, id: id)
        }
    }

    private mutating func takeFreeID() throws(DataChannelError) -> DataChannelID {
        var candidate = lowestFreeID
        while let id = DataChannelID(exactly: candidate), channels.contains(id) { candidate += 2 }
        guard candidate < maxChannels, let id = DataChannelID(exactly: candidate) else { throw .noFreeID }
        lowestFreeID = candidate + 2
        return id
    }

    // MARK: Closing

    private mutating func incomingReset(_ ids: [DataChannelID]) {
        for id in ids {
            if channels[id]?.next != nil {
                channels[id]?.isNextReset = true
                continue
            }
            forgetEarly(id)
            guard let channel = channels[id] else { continue }
            channels[id]?.isIncomingReset = true
            if channel.phase != .closing {
                // The peer's end is gone: there is nobody to read what was not sent yet.
                channels[id]?.phase = .closing
                association.resetStreams([id], discarding: true)
            }
            finishClosing(id)
        }
    }

    private mutating func outgoingReset(_ ids: [DataChannelID]) {
        for id in ids {
            channels[id]?.isOutgoingReset = true
            finishClosing(id)
        }
    }

    private mutating func finishClosing(_ id: DataChannelID) {
        guard let channel = channels[id], channel.isIncomingReset, channel.isOutgoingReset else { return }
        channels[id] = nil
        if id & 1 == firstID { lowestFreeID = min(lowestFreeID, Int(id)) }
        if channel.isAnnounced { events.append(.closed(id)) }
        if let next = channel.next {
            accept(id, next)
            if channel.isNextReset { incomingReset([id]) }
        }
    }
}

extension DataChannelError {
    /// The same in the words of channels.
    init(_ error: SCTPError, id: DataChannelID) {
        switch error {
        case .closed: self = .disconnected
        case .messageTooLarge(let limit): self = .messageTooLarge(limit: limit)
        case .bufferFull: self = .bufferFull
        case .noSuchStream: self = .idUnavailable(id)
        case .emptyMessage, .streamClosing: self = .notOpen
        }
    }
}
