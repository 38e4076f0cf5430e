import NIOCore
import SCTP
import SwarmBase
import SwarmTransport
import WebRTC

/// A data channel on its event loop: between the connection's core and the link to the users.
final class Channel {
    let handle: DataChannelHandle
    let link: ChannelLink
    private weak var connection: Connection?
    /// What came in the batch that is being worked off.
    private var arrived: [RawMessage] = []
    /// What the core does not take yet.
    private var backlog = FIFO<RawMessage>()
    private var backlogBytes = 0
    /// Messages are held back because nobody reads them.
    private var isHeldBack = false
    /// What the link was told to be buffered.
    private var bufferedBytes = 0
    private(set) var counters = Counters()
    /// Places in the connection's lists.
    var isListedAsOffering = false
    var isListedAsArrived = false
    var isListedAsBuffering = false
    private var mustClose = false

    struct Counters {
        var messagesSent = 0
        var bytesSent = 0
        var messagesReceived = 0
        var bytesReceived = 0
    }

    init(
        handle: DataChannelHandle, label: String, options: DataChannelOptions, connection: Connection,
        eventLoop: any EventLoop, configuration: EndpointConfiguration, pollingInterrupt: PollingInterrupt
    ) {
        self.handle = handle
        self.connection = connection
        link = ChannelLink(
            label: label, options: options, eventLoop: eventLoop, configuration: configuration,
            pollingInterrupt: pollingInterrupt)
        link.attach(self)
    }

    // MARK: What the link asks for

    /// Something was offered.
    func mustSend() { connection?.offering(self) }

    /// What was unread has been read.
    func readerKeepsUp() {
        guard isHeldBack else { return }
        isHeldBack = false
        connection?.readerKeepsUp()
    }

    /// A user closes the channel.
    func close() {
        mustClose = true
        connection?.offering(self)
    }

    // MARK: What the connection asks for

    /// Notes a message from the peer.
    func receive(_ payload: [UInt8], isText: Bool) {
        counters.messagesReceived += 1
        counters.bytesReceived += payload.count
        arrived.append(RawMessage(payload: payload, isText: isText))
    }

    /// Hands on what came.
    ///
    /// - Returns: whether the peer is to be held back from now on, and was not before.
    @discardableResult
    func deliver() -> Bool {
        let wasHeldBack = isHeldBack
        isHeldBack = link.deliver(&arrived)
        if wasHeldBack, !isHeldBack { connection?.readerKeepsUp() }
        return isHeldBack && !wasHeldBack
    }

    /// Whether so much came in one batch that it is time to see whether anybody reads it.
    var arrivedIsMuch: Bool { arrived.count >= 1024 }

    /// Whether the core did not take everything.
    var hasBacklog: Bool { !backlog.isEmpty }

    /// Whether something waits to be sent.
    var isBuffering: Bool { bufferedBytes > 0 || hasBacklog || mustClose }

    /// Gives the core what was offered, as much as it takes.
    func send(to core: inout WebRTC.PeerConnection, now: Instant) {
        sendBacklog(to: &core, now: now)
        let offered = link.takeOffered()
        for message in offered {
            if !backlog.isEmpty || !send(message, to: &core, now: now) {
                backlog.append(message)
                backlogBytes += message.payload.count
            }
        }
        // It has counted what it gave out.
        if !offered.isEmpty { bufferedBytes = -1 }
        if mustClose, backlog.isEmpty {
            mustClose = false
            core.close(channel: handle, now: now)
        }
    }

    private func sendBacklog(to core: inout WebRTC.PeerConnection, now: Instant) {
        while let message = backlog.first, send(message, to: &core, now: now) {
            _ = backlog.popFirst()
            backlogBytes -= message.payload.count
        }
    }

    /// - Returns: whether the message is off our hands.
    private func send(_ message: RawMessage, to core: inout WebRTC.PeerConnection, now: Instant) -> Bool {
        do {
            try core.send(message.payload, kind: message.kind, on: handle, now: now)
        } catch .limitReached, .dataChannel(.bufferFull) {
            return false
        } catch {
            // The channel or the connection is over, which its events tell.
            return true
        }
        counters.messagesSent += 1
        counters.bytesSent += message.payload.count
        return true
    }

    /// Tells the link what is buffered.
    func updateBuffered(from core: borrowing WebRTC.PeerConnection) {
        let bytes = core.bufferedAmount(of: handle) + backlogBytes
        guard bytes != bufferedBytes else { return }
        bufferedBytes = bytes
        link.setLoopBytes(bytes)
    }

    /// It is over.
    func closed() {
        deliver()
        readerKeepsUp()
        backlog.removeAll()
        backlogBytes = 0
        bufferedBytes = 0
        link.closed()
    }
}
