import ICE
import NIOCore
import SCTP
import SwarmBase
import SwarmTransport
import WebRTC

/// A peer connection on its event loop: the core, its channels, and what is told to the users.
final class Connection: DeadlineHolder {
    let id: UInt64
    var core: WebRTC.PeerConnection
    let reports: ConnectionReports
    var deadlineSlot: Int?
    /// Something has happened to it in this turn of the loop.
    var isTouched = false
    /// A description was made or taken: the switchboard has to know by which ufrags peers may ask for it.
    var mayHaveOtherUfrags = true
    private(set) var channels: [DataChannelHandle: Channel] = [:]
    private(set) var counters = Counters()
    private weak var switchboard: Switchboard?
    private let eventLoop: any EventLoop
    private let configuration: EndpointConfiguration
    private let pollingInterrupt: PollingInterrupt
    private var offeringChannels: [Channel] = []
    private var arrivedChannels: [Channel] = []
    private var bufferingChannels: [Channel] = []
    /// How many channels hold messages back: while there is one, none are taken from the core.
    private var heldBack = 0
    /// The channel of the last message: mostly that of the next one, too.
    private var lastChannel: Channel?
    private var isPumping = false
    private var closeWaiters: [EventLoopPromise<Void>] = []

    struct Counters {
        var packetsSent = 0
        var bytesSent = 0
        var packetsReceived = 0
        var bytesReceived = 0
        var selectedPathChanges = 0
        var channelsOpened = 0
        var channelsClosed = 0
    }

    init(
        id: UInt64, core: consuming WebRTC.PeerConnection, switchboard: Switchboard, eventLoop: any EventLoop,
        configuration: EndpointConfiguration
    ) {
        self.id = id
        self.core = core
        self.switchboard = switchboard
        self.eventLoop = eventLoop
        self.configuration = configuration
        pollingInterrupt = switchboard.pollingInterrupt
        reports = ConnectionReports()
    }

    private var now: Instant { Instant(eventLoop.now) }

    // MARK: Input

    /// Takes a datagram from the switchboard.
    func handle(_ datagram: [UInt8], from source: TransportAddress, via relay: TransportAddress?, now: Instant) {
        counters.packetsReceived += 1
        counters.bytesReceived += datagram.count
        core.handle(datagram: datagram, from: source, via: relay, now: now)
    }

    /// A channel has something to be sent.
    func offering(_ channel: Channel) {
        guard !channel.isListedAsOffering else { return }
        channel.isListedAsOffering = true
        offeringChannels.append(channel)
        touch()
    }

    /// A reader that had held its channel back does so no longer.
    func readerKeepsUp() {
        heldBack = max(0, heldBack - 1)
        guard heldBack == 0 else { return }
        core.isReadingPaused = false
        touch()
    }

    /// A description was made or taken.
    func hasNegotiated() {
        mayHaveOtherUfrags = true
        touch()
    }

    /// Something has happened to the core.
    func touch() { switchboard?.touch(self) }

    // MARK: Commands

    func openChannel(label: String, options: DataChannelOptions) throws(DataChannelsError) -> ChannelLink {
        let handle: DataChannelHandle
        do { handle = try core.openChannel(options.core(label: label), now: now) } catch {
            throw DataChannelsError(error)
        }
        touch()
        return add(handle, label: label, options: options).link
    }

    /// Ends the connection; with `lingering` after the peer has acknowledged what was sent, or a second.
    func close(lingering: Bool) -> EventLoopFuture<Void> {
        guard core.state != .closed else { return eventLoop.makeSucceededVoidFuture() }
        let promise = eventLoop.makePromise(of: Void.self)
        closeWaiters.append(promise)
        if lingering { for channel in offeringChannels { channel.send(to: &core, now: now) } }
        core.close(lingering: lingering, now: now)
        touch()
        return promise.futureResult
    }

    private func add(_ handle: DataChannelHandle, label: String, options: DataChannelOptions) -> Channel {
        let channel = Channel(
            handle: handle, label: label, options: options, connection: self, eventLoop: eventLoop,
            configuration: configuration, pollingInterrupt: pollingInterrupt)
        channels[handle] = channel
        return channel
    }

    // MARK: Output

    /// Datagrams that a connection may send before others have their turn.
    private static let datagramsPerTurn = 256

    /// Carries out everything that has happened since the last time.
    ///
    /// - Returns: whether there is more to be sent than was in order in one turn.
    func pump(now: Instant) -> Bool {
        guard !isPumping else { return false }
        isPumping = true
        defer { isPumping = false }
        var left = Self.datagramsPerTurn
        var moved = true
        // What the core would not take before, it may take now that something has happened.
        for channel in bufferingChannels where channel.hasBacklog { channel.send(to: &core, now: now) }
        while moved {
            sendOffered(now: now)
            moved = sendDatagrams(&left, now: now)
            moved = drainEvents() || moved
            deliverArrived()
            // A handler has answered.
            if !offeringChannels.isEmpty { moved = true }
            if left <= 0 { break }
        }
        for channel in bufferingChannels { channel.updateBuffered(from: core) }
        bufferingChannels.removeAll { channel in
            channel.isListedAsBuffering = channel.isBuffering
            return !channel.isBuffering
        }
        return left <= 0
    }

    private func sendOffered(now: Instant) {
        guard !offeringChannels.isEmpty else { return }
        let offering = offeringChannels
        offeringChannels.removeAll(keepingCapacity: true)
        for channel in offering {
            channel.isListedAsOffering = false
            channel.send(to: &core, now: now)
            if !channel.isListedAsBuffering {
                channel.isListedAsBuffering = true
                bufferingChannels.append(channel)
            }
        }
    }

    private func sendDatagrams(_ left: inout Int, now: Instant) -> Bool {
        var moved = false
        let switchboard = switchboard
        while left > 0, let transmit = core.pollTransmit() {
            moved = true
            left -= 1
            counters.packetsSent += 1
            counters.bytesSent += transmit.payload.count
            switchboard?.send(transmit, of: self, now: now)
        }
        return moved
    }

    /// Takes what the core tells.
    @discardableResult
    func drainEvents() -> Bool {
        var moved = false
        while let event = core.pollEvent() {
            moved = true
            take(event)
        }
        return moved
    }

    private func take(_ event: PeerConnectionEvent) {
        switch event {
        case .message(let handle, let kind, let payload):
            guard let channel = channel(handle) else { return }
            channel.receive(payload, isText: kind == .text)
            if !channel.isListedAsArrived {
                channel.isListedAsArrived = true
                arrivedChannels.append(channel)
            }
            // A full mailbox is noticed between messages, not only after all that came.
            if channel.arrivedIsMuch { deliverArrived() }
        case .bufferedAmountLow:
            break
        case .channelOpened(let handle, let options, let byPeer):
            counters.channelsOpened += 1
            let channel =
                channels[handle] ?? add(handle, label: options.label, options: DataChannelOptions(options))
            channel.link.opened(
                id: core.streamIdentifier(of: handle), maximumMessageSize: core.maximumMessageSize)
            if byPeer, !reports.channelOpened(channel.link) { core.close(channel: handle, now: now) }
        case .channelClosed(let handle):
            guard let channel = channels.removeValue(forKey: handle) else { return }
            counters.channelsClosed += 1
            if lastChannel === channel { lastChannel = nil }
            channel.closed()
        case .stateChanged(let state):
            reports.stateChanged(ConnectionState(state))
        case .addressValidated(let address):
            switchboard?.addressValidated(address, by: self)
        case .selectedAddress:
            counters.selectedPathChanges += 1
        }
    }

    private func channel(_ handle: DataChannelHandle) -> Channel? {
        if let lastChannel, lastChannel.handle == handle { return lastChannel }
        lastChannel = channels[handle]
        return lastChannel
    }

    private func deliverArrived() {
        guard !arrivedChannels.isEmpty else { return }
        let arrived = arrivedChannels
        arrivedChannels.removeAll(keepingCapacity: true)
        for channel in arrived {
            channel.isListedAsArrived = false
            guard channel.deliver() else { continue }
            heldBack += 1
            core.isReadingPaused = true
        }
    }

    /// Tells the users of a candidate; `nil` says that no more will follow.
    func report(_ candidate: Candidate?) {
        reports.found(
            ICECandidate(
                candidate?.sdp ?? "", sdpMid: core.localDescription?.mid ?? "0",
                usernameFragment: core.localUfrags.first))
    }

    /// It is over, and everything has been said.
    func finish() {
        drainEvents()
        for channel in channels.values { channel.closed() }
        channels = [:]
        offeringChannels = []
        arrivedChannels = []
        bufferingChannels = []
        lastChannel = nil
        reports.finish()
        let waiters = closeWaiters
        closeWaiters = []
        for waiter in waiters { waiter.succeed() }
    }
}
