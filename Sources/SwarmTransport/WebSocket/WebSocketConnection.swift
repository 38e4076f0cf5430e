public import NIOCore
public import SwarmBase

/// One WebSocket (RFC 6455), dialled by us or accepted by an ``HTTPServer``.
///
/// Messages come whole. Pings watch the peer: an unplugged cable gives no sign by itself. Frames that are sent within
/// one turn of the event loop leave in one system call.
///
/// Confined to its event loop: make it, call it and let go of it there. The callbacks are called there, and all of
/// them are dropped after ``onClose``.
public final class WebSocketConnection {
    /// Where a connection stands.
    public enum State: Hashable, Sendable { case idle, connecting, open, closing, closed }

    public let eventLoop: any EventLoop
    public let configuration: WebSocketConfiguration
    /// Called when the upgrade is done; not for accepted connections, which are open from the start.
    public var onOpen: (() -> Void)?
    /// Called for each message.
    public var onMessage: ((WebSocketMessage) -> Void)?
    /// Called when what was read has been handed out: the moment to send what it caused.
    public var onReadComplete: (() -> Void)?
    /// Called when the socket takes more after it was full.
    public var onWritable: (() -> Void)?
    /// Called exactly once for each connection that was opened or accepted.
    public var onClose: ((WebSocketCloseReason) -> Void)?

    public internal(set) var state: State
    /// The peer's address as TCP sees it.
    public internal(set) var remoteAddress: TransportAddress?
    /// What the last answered ping took.
    public private(set) var roundTripTime: Duration?
    public private(set) var messagesReceived = 0
    public private(set) var messagesSent = 0
    public private(set) var bytesReceived = 0
    public private(set) var bytesSent = 0

    /// Twice NIO's default for a channel's write buffer, above which it is not writable.
    private static let highWaterMark = 1 << 17
    /// So much is gathered before it is given to the channel, at the latest at the end of the loop's turn.
    private static let gatheredBytes = 1 << 16

    let isClient: Bool
    private var channel: (any Channel)?
    /// As the channel said last: it says each change.
    private var isChannelWritable = true
    private var reason: WebSocketCloseReason?
    private var timer: Scheduled<Void>?
    private var openTimer: Scheduled<Void>?
    private let flushes: WebSocketFlushes
    /// Frames of this turn of the loop that the channel does not have yet.
    private var gathered: ByteBuffer?
    private var needsFlush = false
    /// What has come of a frame that is not whole.
    private var unread: ByteBuffer?
    /// A frame was broken: where the next one begins is not known.
    private var isBroken = false
    private var silentIntervals = 0
    private var rawReads: UInt64 = 0
    private var pingNumber: UInt64 = 0
    private var pingSentAt: Instant?
    /// Bytes that have come since the last whole message, what little follows it in the same read left out.
    private(set) var receivingBytes = 0
    /// Told of each change of ``receivingBytes``.
    var onReceiving: ((Int) -> Void)?
    private var resume: Scheduled<Void>?
    private var assembly: Assembly?

    /// A message as far as it has come.
    private struct Assembly {
        let isText: Bool
        var isASCII: Bool
        var bytes: [UInt8]
        var frames = 1
    }

    init(
        eventLoop: any EventLoop, configuration: WebSocketConfiguration, isClient: Bool, flushes: WebSocketFlushes?
    ) {
        self.eventLoop = eventLoop
        self.flushes = flushes ?? WebSocketFlushes(eventLoop: eventLoop)
        self.configuration = configuration
        self.isClient = isClient
        state = .idle
    }

    // MARK: Sending

    /// This machine's end of the connection; `nil` until there is one.
    public var localAddress: IPAddress? {
        eventLoop.assertInEventLoop()
        return channel?.localAddress.flatMap { TransportAddress($0) }?.address
    }

    /// Bytes that wait in this process for the peer to take them.
    public var bufferedBytes: Int {
        eventLoop.assertInEventLoop()
        guard let channel else { return 0 }
        return (gathered?.readableBytes ?? 0) + ((try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0)
    }

    /// Whether the socket takes more at once; `false` is the sign to wait for ``onWritable``.
    public var isWritable: Bool { state == .open && isChannelWritable }

    /// Sends UTF-8 as a text message.
    ///
    /// - Returns: `false` when the connection is not open, or was just closed because the peer reads too slowly.
    @discardableResult
    public func send(text: [UInt8]) -> Bool { send(.text, text) }

    /// Sends a binary message; otherwise like ``send(text:)``.
    @discardableResult
    public func send(binary: [UInt8]) -> Bool { send(.binary, binary) }

    private func send(_ opcode: WebSocketOpcode, _ bytes: [UInt8]) -> Bool {
        eventLoop.assertInEventLoop()
        guard state == .open else { return false }
        // While the channel is writable less waits than NIO's high water mark: no need to ask how much.
        let isShort = isChannelWritable && configuration.maximumBufferedBytes > Self.highWaterMark
        let waiting = isShort ? 0 : bufferedBytes
        guard waiting == 0 || waiting + bytes.count <= configuration.maximumBufferedBytes else {
            end(.slowReader)
            return false
        }
        messagesSent += 1
        bytesSent += bytes.count
        write(opcode, bytes)
        return true
    }

    private func write(_ opcode: WebSocketOpcode, _ bytes: [UInt8]) {
        guard channel != nil else { return }
        // Taken out, so that it has one owner and is written to in place.
        var frames = gathered.take() ?? flushes.takeBuffer(for: bytes.count)
        frames.writeFrame(opcode, bytes, mask: isClient ? UInt32.random(in: 0...UInt32.max) : nil)
        let isMuch = frames.readableBytes >= Self.gatheredBytes
        gathered = frames
        if isMuch { handOver() }
        guard !needsFlush else { return }
        needsFlush = true
        flushes.add(self)
    }

    /// Gives the channel what was gathered.
    private func handOver() {
        guard let channel, let frames = gathered.take() else { return }
        channel.pipeline.syncOperations.write(NIOAny(frames), promise: nil)
    }

    /// Lets everything go that waits for the end of the turn.
    func flush() {
        needsFlush = false
        guard let channel else { return }
        guard let frames = gathered.take() else { return channel.flush() }
        channel.pipeline.syncOperations.writeAndFlush(NIOAny(frames), promise: nil)
        // What the kernel has not taken all of belongs to the channel.
        if bufferedBytes == 0 { flushes.giveBack(frames) }
    }

    // MARK: Receiving

    /// Reads nothing from the socket for that long, so that the peer's writes wait at the peer. Messages that have been
    /// read already are still handed out. While it pauses the peer counts as alive.
    public func pauseReading(for duration: Duration) {
        eventLoop.assertInEventLoop()
        guard state == .open, let channel else { return }
        resume?.cancel()
        try? channel.syncOptions?.setOption(.autoRead, value: false)
        resume = eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(duration)) { () -> Void in
            guard let channel = self.channel else { return }
            self.resume = nil
            try? channel.syncOptions?.setOption(.autoRead, value: true)
        }
    }

    // MARK: Liveness

    /// Asks the peer for a sign of life now, and gives the connection up when none comes in time.
    ///
    /// For the moments when a connection is likely to be dead, such as a change of the host's addresses.
    public func probe(within limit: Duration) {
        eventLoop.assertInEventLoop()
        guard state == .open else { return }
        let before = rawReads
        ping()
        eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(limit)) { () -> Void in
            guard self.state == .open, self.rawReads == before else { return }
            self.end(.unresponsive)
        }
    }

    private func ping() {
        pingNumber &+= 1
        pingSentAt = Instant(eventLoop.now)
        write(.ping, Self.bytes(of: pingNumber))
    }

    private static func bytes(of number: UInt64) -> [UInt8] {
        var writer = ByteWriter(capacity: 8)
        writer.integer(number)
        return writer.bytes
    }

    private func scheduleInterval() {
        let range = configuration.pingInterval
        let low = range.lowerBound.nanosecondsClamped
        let high = range.upperBound.nanosecondsClamped
        let delay = TimeAmount.nanoseconds(Int64.random(in: low...max(low, high)))
        let before = rawReads
        // No weak reference: those make each use of the connection dearer. When it ends, the timer is cancelled.
        timer = eventLoop.assumeIsolated().scheduleTask(in: delay) { () -> Void in
            self.intervalEnded(readsBefore: before)
        }
    }

    private func intervalEnded(readsBefore: UInt64) {
        guard state == .open else { return }
        silentIntervals = rawReads == readsBefore && resume == nil ? silentIntervals + 1 : 0
        // The first silent interval had no ping in it that could have been answered.
        guard silentIntervals <= configuration.missedPongs else { return end(.unresponsive) }
        ping()
        scheduleInterval()
    }

    // MARK: Closing

    /// Closes with a close frame; the peer has ``WebSocketConfiguration/closeTimeout`` to answer it.
    public func close(code: UInt16 = 1000, reason: String = "") {
        eventLoop.assertInEventLoop()
        switch state {
        case .open:
            startClosing(code: code, text: reason, because: .requested)
        case .idle:
            state = .closed
        case .connecting:
            end(.requested)
        case .closing, .closed:
            break
        }
    }

    private func startClosing(code: UInt16, text: String, because reason: WebSocketCloseReason) {
        guard state == .open else { return }
        self.reason = reason
        state = .closing
        var payload = ByteWriter(capacity: 32)
        payload.integer(code)
        // A control frame holds 125 bytes (RFC 6455 §5.5).
        payload.append(text.utf8.prefix(123))
        write(.close, payload.bytes)
        timer?.cancel()
        timer = eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(configuration.closeTimeout)) { () -> Void in
            self.end(reason)
        }
    }

    /// Ends the connection at once, without a frame.
    func end(_ reason: WebSocketCloseReason) {
        guard state != .closed else { return }
        if self.reason == nil { self.reason = reason }
        // Nothing that it has received will be whole.
        changeReceiving(-receivingBytes)
        guard let channel else { return finish() }
        state = .closing
        channel.close(promise: nil)
    }

    private func finish() {
        guard state != .closed else { return }
        state = .closed
        timer?.cancel()
        openTimer?.cancel()
        resume?.cancel()
        resume = nil
        timer = nil
        openTimer = nil
        channel = nil
        assembly = nil
        gathered = nil
        unread = nil
        let callback = onClose
        onOpen = nil
        onMessage = nil
        onReadComplete = nil
        onWritable = nil
        onClose = nil
        changeReceiving(-receivingBytes)
        onReceiving = nil
        callback?(reason ?? .lost)
    }
}

// MARK: - What the pipeline tells

extension WebSocketConnection {
    func startOpening() {
        state = .connecting
        openTimer = eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(configuration.openTimeout)) { () -> Void in
            self.end(.openTimedOut)
        }
    }

    /// A TCP connection exists; `false` when it is not wanted any more.
    func connected(_ channel: any Channel) -> Bool {
        guard state == .connecting else { return false }
        self.channel = channel
        remoteAddress = channel.remoteAddress.flatMap { TransportAddress($0) }
        return true
    }

    /// `channel` is to carry frames, but may not do so yet.
    func upgrading(_ channel: any Channel) throws {
        guard state == .idle || state == .connecting else { throw reason ?? .requested }
        self.channel = channel
        remoteAddress = channel.remoteAddress.flatMap { TransportAddress($0) }
        try channel.pipeline.syncOperations.addHandler(WebSocketBytes(connection: self))
    }

    /// The upgrade is done: the channel carries frames from now on.
    func upgraded() {
        guard state == .idle || state == .connecting else { return }
        state = .open
        openTimer?.cancel()
        openTimer = nil
        scheduleInterval()
        onOpen?()
    }

    /// Bytes have come; half of a long frame is a sign of life too.
    func read(_ bytes: ByteBuffer) {
        rawReads &+= 1
        if state == .open { changeReceiving(bytes.readableBytes) }
        var bytes = bytes
        var isOwn = false
        if var earlier = unread.take() {
            earlier.writeBuffer(&bytes)
            bytes = earlier
            isOwn = true
        }
        do throws(WebSocketViolation) {
            while !isBroken, channel != nil {
                guard
                    let header = try WebSocketFrameHeader(
                        peeking: bytes, maximumPayload: configuration.maximumMessageBytes),
                    bytes.readableBytes - header.byteCount >= header.payloadCount
                else { return keep(bytes, isOwn: isOwn && bytes.readerIndex == 0) }
                bytes.moveReaderIndex(forwardBy: header.byteCount)
                let (payload, isASCII) = bytes.readPayload(header.payloadCount, mask: header.mask)
                received(header, payload, isASCII: isASCII)
            }
        } catch {
            isBroken = true
            violation(error.code)
        }
    }

    /// Keeps the beginning of a frame, in memory that is no larger than it needs and nobody else's: what was read into is read
    /// into again.
    private func keep(_ bytes: ByteBuffer, isOwn: Bool) {
        guard bytes.readableBytes > 0 else { return }
        unread = isOwn ? bytes : ByteBuffer(bytes: bytes.readableBytesView)
    }

    private func changeReceiving(_ change: Int) {
        receivingBytes += change
        onReceiving?(change)
    }

    private func received(_ frame: WebSocketFrameHeader, _ payload: [UInt8], isASCII: Bool) {
        guard state == .open else {
            // Only the answer to our close frame matters any more.
            if state == .closing, frame.opcode == .close { end(.requested) }
            return
        }
        // RFC 6455 §5.1: a client masks every frame, a server none.
        guard (frame.mask == nil) == isClient else { return violation(1002) }
        switch frame.opcode {
        case .text, .binary: begin(frame, payload, isASCII: isASCII)
        case .continuation: carryOn(frame, payload, isASCII: isASCII)
        case .ping: write(.pong, payload)
        case .pong: receivedPong(payload)
        case .close: receivedClose(payload)
        }
    }

    private func begin(_ frame: WebSocketFrameHeader, _ payload: [UInt8], isASCII: Bool) {
        guard assembly == nil else { return violation(1002) }
        let isText = frame.opcode == .text
        if frame.isFinal { return deliver(payload, isText: isText, isASCII: isASCII) }
        assembly = Assembly(isText: isText, isASCII: isASCII, bytes: payload)
    }

    private func carryOn(_ frame: WebSocketFrameHeader, _ payload: [UInt8], isASCII: Bool) {
        // Taken out, so that the bytes have one owner and are appended to in place.
        guard var message = assembly.take() else { return violation(1002) }
        message.frames += 1
        guard message.bytes.count + payload.count <= configuration.maximumMessageBytes else { return violation(1009) }
        guard message.frames <= configuration.maximumFragments else { return violation(1008) }
        message.bytes.append(contentsOf: payload)
        message.isASCII = message.isASCII && isASCII
        guard frame.isFinal else {
            assembly = message
            return
        }
        deliver(message.bytes, isText: message.isText, isASCII: message.isASCII)
    }

    private func deliver(_ bytes: [UInt8], isText: Bool, isASCII: Bool) {
        if receivingBytes != 0 { changeReceiving(-receivingBytes) }
        messagesReceived += 1
        bytesReceived += bytes.count
        guard isText else {
            onMessage?(.binary(bytes))
            return
        }
        // RFC 6455 §8.1.
        guard isASCII || isValidUTF8(bytes) else { return violation(1007) }
        onMessage?(.text(bytes))
    }

    private func isValidUTF8(_ bytes: [UInt8]) -> Bool {
        do {
            _ = try UTF8Span(validating: bytes.span)
            return true
        } catch { return false }
    }

    private func receivedPong(_ bytes: [UInt8]) {
        guard let sent = pingSentAt, bytes == Self.bytes(of: pingNumber) else { return }
        roundTripTime = Instant(eventLoop.now) - sent
        pingSentAt = nil
    }

    private func receivedClose(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        let code: UInt16? = reader.integer()
        // RFC 6455 §5.5.1: answer with the code that came.
        write(.close, Array(bytes.prefix(2)))
        flush()
        end(.closedByPeer(code: code ?? 1005, reason: String(decoding: reader.rest(), as: UTF8.self)))
    }

    /// RFC 6455 §7.1.7: tell the peer what it did, and go.
    func violation(_ code: UInt16) {
        assembly = nil
        startClosing(code: code, text: "", because: .violation(code: code))
    }

    func readComplete() { onReadComplete?() }

    func writabilityChanged() {
        isChannelWritable = channel?.isWritable == true
        if isWritable { onWritable?() }
    }

    func channelClosed() { finish() }
}
