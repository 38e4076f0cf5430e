public import DHT
public import SwarmBase

/// A whole DHT on virtual time: thousands of nodes all over the world, of which some cannot be reached, some lie, and all
/// come and go.
public final class SimulatedDHT {
    /// What it is like there.
    public struct Conditions: Sendable {
        /// The share of nodes that answer nobody whom they have not asked.
        public var unreachable = 0.2
        /// The share of nodes that lie.
        public var malicious = 0.05
        /// Half of the nodes are gone after this.
        public var medianLifetime: Duration = .seconds(1800)
        /// The share of datagrams that are lost.
        public var loss = 0.01
        /// How long a datagram takes, in milliseconds.
        public var delay = 10.0...150.0

        public init() {}
    }

    /// How a malicious node lies to who asks it.
    enum Lie: CaseIterable {
        /// Names nodes near the target that do not exist.
        case aboutNodes
        /// Names peers that nobody announced.
        case aboutValues
        /// Says another id each time.
        case aboutItself
    }

    /// One node.
    public final class Host {
        public internal(set) var node: DHTNode
        public let address: TransportAddress
        let lie: Lie?
        /// Behind a NAT that lets in what was asked for: where we have sent, and when.
        var contacted: [TransportAddress: Instant]?
        public internal(set) var isGone = false
        var wakeAt = Instant.distantFuture
        /// The peers that its searches have found so far.
        public internal(set) var found: [OperationID: Set<TransportAddress>] = [:]
        /// How its searches ended.
        public internal(set) var outcomes: [OperationID: DHTOutcome] = [:]

        init(node: DHTNode, address: TransportAddress, lie: Lie?, isReachable: Bool) {
            self.node = node
            self.address = address
            self.lie = lie
            contacted = isReachable ? nil : [:]
        }
    }

    private enum Event {
        case datagram(Transmit, from: TransportAddress)
        case wake(TransportAddress)
        case death(TransportAddress)
    }

    let conditions: Conditions
    public private(set) var now = Instant.zero
    /// Every datagram that was sent.
    public private(set) var trace: BehaviourTrace
    private var random: SeededGenerator
    private var queue = DeadlineQueue<Event>()
    private var hosts: [TransportAddress: Host] = [:]
    /// Those that are there, in any order.
    public private(set) var alive: [Host] = []
    private let doors: [TransportAddress]
    private var hasChurn = false

    /// `count` nodes join through eight well-known ones within two minutes.
    public init(
        count: Int, seed: UInt64, conditions: Conditions = Conditions(), trace: BehaviourTrace = BehaviourTrace()
    ) {
        self.conditions = conditions
        self.trace = trace
        random = SeededGenerator(seed: seed)
        doors = (0..<8).map { TransportAddress(.v4(0x1400_0001 + UInt32($0) << 16), port: 6881) }
        for address in doors {
            var configuration = DHTConfiguration()
            configuration.isReachable = true
            // Supernodes expect to be asked by everybody at the start.
            configuration.service.bytesPerSecond = (10_000_000, 10_000_000)
            let node = DHTNode(configuration: configuration, entropy: .seed(random.next()), now: now)
            add(Host(node: node, address: address, lie: nil, isReachable: true))
        }
        for index in 8..<count {
            run(until: .zero + .seconds(120) * (Double(index) / Double(count)))
            join()
        }
    }

    /// From now on nodes die, and each time another one comes.
    public func beginChurn() {
        hasChurn = true
        for host in alive.dropFirst(doors.count) { scheduleDeath(of: host) }
    }

    /// An honest node, whether it can be reached or not.
    public func anyone() -> Host? {
        for _ in 0..<100 {
            if let host = alive.randomElement(using: &random), host.lie == nil { return host }
        }
        return nil
    }

    /// Any id.
    public func randomID() -> NodeID { NodeID.random(using: &random) }

    /// Asks something of a node, and carries out what comes of it.
    public func ask(_ host: Host, _ command: (inout DHTNode) -> OperationID) -> OperationID {
        let id = command(&host.node)
        drain(host)
        return id
    }

    /// Lets so much time pass.
    public func run(for duration: Duration) { run(until: now + duration) }

    /// Lets time pass until then.
    public func run(until end: Instant) {
        while let at = queue.nextDeadline, at <= end {
            now = max(now, at)
            while let event = queue.popDue(now: now) { take(event) }
        }
        now = max(now, end)
    }

    // MARK: Inside

    private func take(_ event: Event) {
        switch event {
        case .datagram(let transmit, let source):
            guard let host = hosts[transmit.destination], !host.isGone else { return }
            if let contacted = host.contacted {
                guard let at = contacted[source], now - at < .seconds(120) else { return }
            }
            if let lie = host.lie, let answer = self.answer(lie, to: transmit.payload, from: source, of: host) {
                deliver(Transmit(to: source, payload: answer), from: host)
                return
            }
            host.node.handle(datagram: transmit.payload, from: source, now: now)
            drain(host)
        case .wake(let address):
            guard let host = hosts[address], !host.isGone, now >= host.wakeAt else { return }
            host.wakeAt = .distantFuture
            host.node.handleTimeout(now: now)
            drain(host)
        case .death(let address):
            guard let host = hosts[address], !host.isGone else { return }
            host.isGone = true
            hosts[address] = nil
            if let index = alive.firstIndex(where: { $0 === host }) {
                alive.swapAt(index, alive.count - 1)
                alive.removeLast()
            }
            join()
        }
    }

    private func join() {
        let isReachable = Double.random(in: 0..<1, using: &random) >= conditions.unreachable
        let isMalicious = Double.random(in: 0..<1, using: &random) < conditions.malicious
        let address = newAddress()
        var node = DHTNode(entropy: .seed(random.next()), now: now)
        node.setHostAddresses([isReachable ? address.address : .v4(0xc0a8_0002)], now: now)
        for _ in 0..<2 {
            if let door = doors.randomElement(using: &random) { node.addBootstrap(door, now: now) }
        }
        // And one that was known before, which may be gone.
        if let other = alive.randomElement(using: &random) { node.addBootstrap(other.address, now: now) }
        let lie = isMalicious && isReachable ? Lie.allCases.randomElement(using: &random) : nil
        let host = Host(node: node, address: address, lie: lie, isReachable: isReachable)
        add(host)
        if hasChurn { scheduleDeath(of: host) }
    }

    private func add(_ host: Host) {
        hosts[host.address] = host
        alive.append(host)
        drain(host)
    }

    private func newAddress() -> TransportAddress {
        while true {
            let address = TransportAddress(
                .v4(UInt32.random(in: 0x2000_0000..<0x7000_0000, using: &random)),
                port: UInt16.random(in: 1024...60_000, using: &random))
            if hosts[address] == nil { return address }
        }
    }

    private func scheduleDeath(of host: Host) {
        // A lifetime without memory, of this median.
        var halves = 0.0
        while Bool.random(using: &random) { halves += 1 }
        let lifetime = conditions.medianLifetime * (halves + Double.random(in: 0..<1, using: &random))
        queue.add(.death(host.address), at: now + lifetime)
    }

    private func drain(_ host: Host) {
        while let transmit = host.node.pollTransmit() { deliver(transmit, from: host) }
        while let event = host.node.pollEvent() {
            switch event {
            case .peers(let id, let peers): host.found[id, default: []].formUnion(peers)
            case .finished(let id, let outcome): host.outcomes[id] = outcome
            case .item, .externalMapping, .connected: break
            }
        }
        if let at = host.node.nextTimeout, at < host.wakeAt {
            host.wakeAt = at
            queue.add(.wake(host.address), at: at)
        }
    }

    private func deliver(_ transmit: Transmit, from host: Host) {
        trace.note(transmit, from: host.address, at: now)
        host.contacted?[transmit.destination] = now
        guard Double.random(in: 0..<1, using: &random) >= conditions.loss else { return }
        let delay = Double.random(in: conditions.delay, using: &random)
        queue.add(.datagram(transmit, from: host.address), at: now + .microseconds(Int(delay * 1000)))
    }

    /// What a liar says to a query about a target; `nil` for what it treats like everybody.
    private func answer(_ lie: Lie, to datagram: [UInt8], from source: TransportAddress, of host: Host) -> [UInt8]? {
        guard let message = try? KRPCMessage(decoding: datagram), case .query(let query) = message.body,
            let own = host.node.ownID(.ipv4)
        else { return nil }
        let target: NodeID
        switch query.method {
        case .findNode(let id), .getPeers(let id), .get(let id, _): target = id
        case .ping, .announcePeer, .put, .sampleInfoHashes, .unknown: return nil
        }
        var response = KRPCResponse(sender: own)
        response.hasNodes = true
        response.token = [1, 2, 3, 4]
        switch lie {
        case .aboutNodes:
            response.nodes = (0..<8).map { _ in
                var bytes = target.bytes
                bytes[19] ^= UInt8.random(in: 1...255, using: &random)
                bytes[18] ^= UInt8.random(in: 0...255, using: &random)
                return NodeContact(id: NodeID(bytes: bytes) ?? target, address: newAddress())
            }
        case .aboutValues:
            response.peers = (0..<20).map { _ in newAddress() }
        case .aboutItself:
            response.sender = randomID()
        }
        return KRPCMessage(
            transaction: message.transaction, body: .response(response), observed: newAddress()
        ).encoded
    }
}
