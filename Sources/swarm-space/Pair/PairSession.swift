import DTLS
import ICE
import NIOCore
import SCTP
import SwarmBase
import SwarmTransport
import WebRTC

/// How `pair` was started.
struct PairOptions: Sendable {
    var isAnswering = false
    var isEchoing = false
    var port: UInt16 = 0
    var stunServers: [TransportAddress] = []
    var turnServers: [PairTURNServer] = []
    /// The longest wait for the answers of the STUN and TURN servers before the description goes out without them.
    var gatheringLimit: Duration = .seconds(3)
    /// Bytes that may wait on a channel before the next instruction is taken.
    var highWater = 1 << 20
    var lowWater = 256 << 10
}

/// One peer connection on a UDP port of its own, driven by instructions and telling what happens.
///
/// Confined to its event loop.
final class PairSession {
    private let eventLoop: any EventLoop
    private let options: PairOptions
    private let report: (PairReport) -> Void
    private let port: UDPPort
    private var connection: PeerConnection
    private var stun: STUNBindingClient
    private let relays: PairRelays
    private var router = DatagramRouter<Int>()
    private var timer: LoopTimer?
    private var channels: [DataChannelHandle: (options: DataChannelOptions, id: DataChannelID?)] = [:]
    /// The newest channel of each label.
    private var labels: [String: DataChannelHandle] = [:]
    private var answeredServers = 0
    private var silentServers = 0
    private var gatheringDeadline: Instant?
    private var isGathering = true
    /// Instructions that came before all candidates were there: descriptions carry them all.
    private var waitingForCandidates: [(PairInstruction, EventLoopPromise<Void>)] = []
    private var waitingForRoom: (handle: DataChannelHandle, promise: EventLoopPromise<Void>)?
    private var isPumping = false
    private let finished: EventLoopPromise<Void>

    /// A session that does nothing yet.
    ///
    /// - Parameter report: called on the event loop for everything that happens.
    init(
        eventLoop: any EventLoop, options: PairOptions, certificate: DTLSCertificate,
        report: @escaping (PairReport) -> Void
    ) {
        self.eventLoop = eventLoop
        self.options = options
        self.report = report
        finished = eventLoop.makePromise()
        port = UDPPort(eventLoop: eventLoop, configuration: UDPPortConfiguration(port: options.port))
        connection = PeerConnection(certificate: certificate, entropy: .system, now: Instant(eventLoop.now))
        stun = STUNBindingClient(entropy: .system)
        relays = PairRelays(eventLoop: eventLoop)
    }

    private var now: Instant { Instant(eventLoop.now) }

    /// Binds the port, gathers candidates and, unless it is to answer, makes the offer.
    ///
    /// - Returns: completes when the connection is over and nothing is left to say; fails when the port cannot be had.
    func start() -> EventLoopFuture<Void> {
        eventLoop.assertInEventLoop()
        timer = LoopTimer(eventLoop: eventLoop) { [weak self] in self?.timeout() }
        port.onDatagram = { [weak self] datagram, source in self?.received(datagram, from: source) }
        port.onReadComplete = { [weak self] in self?.pump() }
        relays.onInput = { [weak self] in self?.pump() }
        port.bind().assumeIsolated().whenComplete { result in
            switch result {
            case .success(let address): self.gather(port: address.port)
            case .failure(let error): self.finished.fail(error)
            }
        }
        return finished.futureResult
    }

    // MARK: Candidates

    private func gather(port: UInt16) {
        for (rank, address) in LocalAddresses.current.enumerated() {
            connection.addLocalCandidate(
                .host(TransportAddress(address, port: port), rank: UInt16(clamping: rank)))
        }
        gatheringDeadline = now + options.gatheringLimit
        for server in options.stunServers { stun.addServer(server, now: now) }
        for (rank, server) in options.turnServers.enumerated() { relays.add(server, rank: UInt16(clamping: rank)) }
        if options.stunServers.isEmpty, options.turnServers.isEmpty { finishGathering() } else { pump() }
    }

    private func finishGathering() {
        guard isGathering else { return }
        isGathering = false
        gatheringDeadline = nil
        connection.endOfLocalCandidates(now: now)
        if !options.isAnswering {
            perform(.open(DataChannelOptions(label: "main")))
            offer(restart: false)
        }
        let waiting = waitingForCandidates
        waitingForCandidates = []
        for (instruction, promise) in waiting {
            perform(instruction)
            promise.succeed()
        }
        pump()
    }

    private func take(_ event: STUNBindingEvent) {
        switch event {
        case .reflexive(let address, let server):
            answeredServers += 1
            connection.addLocalCandidate(.serverReflexive(address, server: server.address))
        case .unreachable: silentServers += 1
        case .mappingChanged: break
        }
    }

    private var everyServerHasAnswered: Bool {
        answeredServers + silentServers >= options.stunServers.count && relays.areSettled
    }

    private func take(_ event: PairRelays.Event) {
        switch event {
        case .candidate(let candidate):
            connection.addLocalCandidate(candidate)
        case .lost(let relayed):
            connection.removeLocalCandidate(relayed, now: now)
        case .note(let text):
            report(.error(text))
        }
    }

    // MARK: Instructions

    /// Does what it is told.
    ///
    /// - Returns: completes when the next instruction may come: a channel that has too much to send makes it wait.
    func handle(_ instruction: PairInstruction) -> EventLoopFuture<Void> {
        eventLoop.assertInEventLoop()
        if isGathering {
            let promise = eventLoop.makePromise(of: Void.self)
            waitingForCandidates.append((instruction, promise))
            return promise.futureResult
        }
        perform(instruction)
        pump()
        guard case .send(let label, _, _) = instruction, let handle = labels[label], connection.state != .closed,
            connection.bufferedAmount(of: handle) > options.highWater
        else { return eventLoop.makeSucceededVoidFuture() }
        let promise = eventLoop.makePromise(of: Void.self)
        connection.setBufferedAmountLowThreshold(options.lowWater, of: handle)
        waitingForRoom = (handle, promise)
        return promise.futureResult
    }

    /// Says goodbye to the peer and ends.
    func close() {
        eventLoop.assertInEventLoop()
        isGathering = false
        connection.close(now: now)
        pump()
        finish()
    }

    /// Lets the peer have what was sent, says goodbye and ends.
    func closeLingering() {
        eventLoop.assertInEventLoop()
        guard !isGathering else { return close() }
        connection.close(lingering: true, now: now)
        pump()
    }

    private func perform(_ instruction: PairInstruction) {
        do {
            switch instruction {
            case .description(let description) where description.kind == .offer:
                report(.description(try connection.accept(offer: description, now: now)))
            case .description(let description):
                try connection.accept(answer: description, now: now)
            case .candidate(let line, let ufrag):
                connection.addRemoteCandidate(line, ufrag: ufrag, now: now)
            case .open(let options):
                let handle = try connection.openChannel(options, now: now)
                channels[handle] = (options, nil)
                labels[options.label] = handle
            case .send(let label, let payload, let kind):
                guard let handle = labels[label] else { throw PairInputError(message: "no channel of that label") }
                try connection.send(payload, kind: kind, on: handle, now: now)
            case .close(let label):
                guard let handle = labels[label] else { throw PairInputError(message: "no channel of that label") }
                connection.close(channel: handle, now: now)
            case .restart: offer(restart: true)
            case .disconnect: connection.close(lingering: false, now: now)
            }
        } catch let error as PairInputError {
            report(.error(error.message))
        } catch {
            report(.error("refused: \(error)"))
        }
    }

    private func offer(restart: Bool) {
        do {
            report(.description(try connection.createOffer(restart: restart, now: now)))
        } catch {
            report(.error("cannot offer: \(error)"))
        }
    }

    // MARK: The loop

    private func received(_ datagram: [UInt8], from source: TransportAddress) {
        if relays.handle(datagram: datagram, from: source) { return receiveRelayed() }
        route(datagram, from: source, via: nil)
    }

    /// What peers sent to our relayed addresses.
    private func receiveRelayed() {
        while let received = relays.pollReceived() { route(received.payload, from: received.peer, via: received.relay) }
    }

    private func route(_ datagram: [UInt8], from source: TransportAddress, via relay: TransportAddress?) {
        switch router.route(datagram, from: source) {
        case .connection:
            connection.handle(datagram: datagram, from: source, via: relay, now: now)
            // An address that STUN has just validated counts for the next datagram of the same batch.
            drainEvents()
        case .stunAnswer: stun.handle(stun: datagram, from: source, now: now)
        case .bindingRequest, .channelData, .dht, .dropped: break
        }
    }

    private func timeout() {
        connection.handleTimeout(now: now)
        stun.handleTimeout(now: now)
        relays.handleTimeout()
        pump()
    }

    /// Carries out everything that the last input caused.
    private func pump() {
        guard !isPumping else { return }
        isPumping = true
        var moved = true
        while moved {
            receiveRelayed()
            moved = drainEvents()
            while let transmit = connection.pollTransmit() {
                router.noteTransmit(transmit.payload, by: 0, now: now)
                if transmit.relay == nil { port.send(transmit) } else { relays.send(transmit) }
                moved = true
            }
            while let event = relays.pollEvent() {
                take(event)
                moved = true
            }
        }
        while let transmit = relays.pollTransmit() { port.send(transmit) }
        while let transmit = stun.pollTransmit() { port.send(transmit) }
        while let event = stun.pollEvent() { take(event) }
        port.flush()
        router.setUfrags(connection.localUfrags, for: 0)
        let protocols = Instant?.earlier(.earlier(connection.nextTimeout, stun.nextTimeout), relays.nextTimeout)
        timer?.schedule(at: .earlier(protocols, gatheringDeadline))
        isPumping = false
        if isGathering, let deadline = gatheringDeadline, everyServerHasAnswered || deadline <= now {
            finishGathering()
        }
        if connection.state == .closed { finish() }
    }

    @discardableResult
    private func drainEvents() -> Bool {
        var moved = false
        while let event = connection.pollEvent() {
            moved = true
            take(event)
        }
        return moved
    }

    private func take(_ event: PeerConnectionEvent) {
        switch event {
        case .stateChanged(let state):
            report(.state(state))
            if state == .closed { report(.closed) }
        case .channelOpened(let handle, let options, _):
            let id = connection.streamIdentifier(of: handle)
            channels[handle] = (options, id)
            labels[options.label] = handle
            if let id { report(.open(options, id: id)) }
        case .message(let handle, let kind, let payload):
            guard let channel = channels[handle], let id = channel.id else { return }
            report(.message(label: channel.options.label, id: id, kind: kind, payload: payload))
            if self.options.isEchoing { echo(payload, kind, on: handle) }
        case .bufferedAmountLow(let handle):
            if let waiting = waitingForRoom, waiting.handle == handle { makeRoom() }
        case .channelClosed(let handle):
            guard let channel = channels.removeValue(forKey: handle) else { return }
            if labels[channel.options.label] == handle { labels[channel.options.label] = nil }
            if waitingForRoom?.handle == handle { makeRoom() }
            report(.channelClosed(label: channel.options.label, id: channel.id))
        case .addressValidated(let address):
            _ = router.addressValidated(address, by: 0)
        case .selectedAddress:
            break
        }
    }

    private func echo(_ payload: [UInt8], _ kind: DataChannelMessageKind, on handle: DataChannelHandle) {
        do {
            try connection.send(payload, kind: kind, on: handle, now: now)
        } catch {
            report(.error("cannot echo: \(error)"))
        }
    }

    private func makeRoom() {
        let waiting = waitingForRoom
        waitingForRoom = nil
        waiting?.promise.succeed()
    }

    private func finish() {
        guard timer != nil else { return }
        timer?.cancel()
        timer = nil
        makeRoom()
        for (_, promise) in waitingForCandidates { promise.succeed() }
        waitingForCandidates = []
        relays.close()
        while let transmit = relays.pollTransmit() { port.send(transmit) }
        port.flush()
        port.close()
        finished.succeed()
    }
}
