import Glibc
import NIOCore
import NIOPosix
import SwarmBase
import Synchronization
import Testing

@testable import SwarmTransport

/// Many datagrams at once: joined, mixed, refused, too many.
@Suite struct UDPBatchTests {
    private func bind(
        _ loop: any EventLoop, _ configuration: UDPPortConfiguration,
        onDatagram: @escaping @Sendable ([UInt8], TransportAddress) -> Void = { _, _ in }
    ) async throws -> (port: NIOLoopBoundBox<UDPPort?>, address: TransportAddress) {
        let box = NIOLoopBoundBox<UDPPort?>.makeEmptyBox(valueType: UDPPort.self, eventLoop: loop)
        let address = try await on(loop) {
            let port = UDPPort(eventLoop: loop, configuration: configuration)
            box.value = port
            port.onDatagram = onDatagram
            return port.bind()
        }
        return (box, address)
    }

    private func close(_ port: NIOLoopBoundBox<UDPPort?>) async throws {
        try await on(port.eventLoop) {
            defer { port.value = nil }
            return port.value?.close() ?? port.eventLoop.makeSucceededVoidFuture()
        }
    }

    private func loopback(_ host: String, _ change: (inout UDPPortConfiguration) -> Void = { _ in })
        -> UDPPortConfiguration
    {
        var configuration = UDPPortConfiguration(host: IPAddress(host))
        change(&configuration)
        return configuration
    }

    /// A payload that names its number, and whose bytes follow from it.
    private func payload(_ number: Int, count: Int) -> [UInt8] {
        var bytes = (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
        while bytes.count < count { bytes.append(UInt8(truncatingIfNeeded: number &+ bytes.count)) }
        return Array(bytes.prefix(max(4, count)))
    }

    private func number(_ bytes: [UInt8]) -> Int {
        bytes.prefix(4).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    }

    @Test(arguments: loopbackHosts, [true, false])
    func mixedSizesArriveWholeAndInOrder(host: String, usesOffload: Bool) async throws {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SeededGenerator(seed: seed)
        let sizes = (0..<2000).map { _ in [4, 100, 1200, 1200, 1200, 1200, 1233].randomElement(using: &generator) ?? 4 }
        let loop = nextLoop()
        let received = Observed<[UInt8]>(loop)
        let server = try await bind(loop, loopback(host) { $0.usesOffload = usesOffload }) { bytes, _ in
            received.add(bytes)
        }
        let client = try await bind(loop, loopback(host) { $0.usesOffload = usesOffload })
        let sent = sizes.enumerated().map { payload($0.offset, count: $0.element) }
        // In portions that any socket buffer takes.
        for start in stride(from: 0, to: sent.count, by: 100) {
            let portion = sent[start..<start + 100]
            try await on(loop) {
                for (index, bytes) in portion.enumerated() {
                    // In stretches of 16: what may be fragmented and what must not are told apart call by call.
                    client.port.value?.send(
                        Transmit(to: server.address, payload: bytes, forbidsFragmentation: index & 16 == 0))
                }
                client.port.value?.flush()
            }
            _ = try await received.wait(count: start + 100)
        }
        #expect(try await received.wait(count: sent.count) == sent, "seed \(seed)")
        let counters = try #require(try await on(loop) { client.port.value?.counters })
        #expect(counters.datagramsSent == sent.count)
        #expect(counters.bytesSent == sent.reduce(0) { $0 + $1.count })
        #expect(counters.sendErrors == 0)
        if !usesOffload { #expect(counters.joinedSends == 0) }
        // A kernel that cannot join says so once.
        if usesOffload { #expect(counters.datagramsSentJoined > 500 || counters.offloadRefusals > 0) }
        #expect(counters.sendCalls < sent.count / 4)
        try await close(server.port)
        try await close(client.port)
    }

    /// A socket without checksums can join nothing (UDP_SEGMENT is EINVAL then), which shows with the first message.
    @Test func aKernelThatRefusesJoinedDatagramsGetsThemOneByOne() async throws {
        let loop = nextLoop()
        let received = Observed<[UInt8]>(loop)
        let server = try await bind(loop, loopback("127.0.0.1")) { bytes, _ in received.add(bytes) }
        let client = try await bind(loop, loopback("127.0.0.1"))
        try await on(loop) {
            var isOn: CInt = 1
            let length = socklen_t(MemoryLayout<CInt>.size)
            let descriptor = client.port.value?.descriptor ?? -1
            let result = unsafe setsockopt(descriptor, SOL_SOCKET, SO_NO_CHECK, &isOn, length)
            #expect(result == 0)
        }
        let sent = (0..<200).map { payload($0, count: 1200) }
        for start in [0, 100] {
            try await on(loop) {
                for bytes in sent[start..<start + 100] {
                    client.port.value?.send(Transmit(to: server.address, payload: bytes))
                }
                client.port.value?.flush()
            }
            _ = try await received.wait(count: start + 100)
        }
        #expect(try await received.wait(count: sent.count) == sent)
        let counters = try #require(try await on(loop) { client.port.value?.counters })
        // Asked once, and not again.
        #expect(counters.offloadRefusals == 1 && counters.joinedSends == 0)
        #expect(counters.datagramsSent == sent.count && counters.sendErrors == 0)
        try await close(server.port)
        try await close(client.port)
    }

    @Test func mixedDestinationsGetEachTheirOwn() async throws {
        let loop = nextLoop()
        let seen = [Observed<[UInt8]>(loop), Observed<[UInt8]>(loop), Observed<[UInt8]>(loop)]
        var servers: [(port: NIOLoopBoundBox<UDPPort?>, address: TransportAddress)] = []
        for index in 0..<3 {
            let host = loopbackHosts[index % loopbackHosts.count]
            servers.append(try await bind(loop, loopback(host)) { bytes, _ in seen[index].add(bytes) })
        }
        // One wildcard socket reaches both families.
        let client = try await bind(loop, .init())
        let addresses = servers.map(\.address)
        try await on(loop) { [self] in
            for number in 0..<90 {
                client.port.value?.send(
                    Transmit(to: addresses[number / 7 % 3], payload: payload(number, count: 500)))
            }
            client.port.value?.flush()
        }
        for index in 0..<3 {
            let expected = (0..<90).filter { $0 / 7 % 3 == index }
            let got = try await seen[index].wait(count: expected.count)
            #expect(got == expected.map { payload($0, count: 500) })
        }
        for server in servers { try await close(server.port) }
        try await close(client.port)
    }

    @Test func aRefusedDatagramCostsOnlyItself() async throws {
        let loop = nextLoop()
        let received = Observed<[UInt8]>(loop)
        let server = try await bind(loop, loopback("127.0.0.1")) { bytes, _ in received.add(bytes) }
        let client = try await bind(loop, .init())
        try await on(loop) { [self] in
            for number in 0..<50 {
                client.port.value?.send(Transmit(to: server.address, payload: payload(number, count: 1000)))
                // Broadcast without SO_BROADCAST is EACCES, more than 64 KiB EMSGSIZE: among others, and several at once.
                if number % 10 == 9 {
                    client.port.value?.send(Transmit(to: TransportAddress(.v4(.max), port: 9), payload: [1, 2, 3]))
                    client.port.value?.send(Transmit(to: TransportAddress(.v4(.max), port: 9), payload: [1, 2, 3]))
                    client.port.value?.send(
                        Transmit(to: server.address, payload: [UInt8](repeating: 0, count: 70_000)))
                }
            }
            client.port.value?.flush()
        }
        #expect(try await received.wait(count: 50) == (0..<50).map { payload($0, count: 1000) })
        let counters = try #require(try await on(loop) { client.port.value?.counters })
        #expect(counters.datagramsSent == 50)
        #expect(counters.sendErrors == 15)
        try await close(server.port)
        try await close(client.port)
    }

    @Test func aHundredThousandComeInOrder() async throws {
        let count = 100_000
        let (sender, receiver) = (nextLoop(), nextLoop())
        // What comes is counted on its loop; the sender lets no more than 1,000 be on their way.
        let arrived = Atomic(0)
        let firstWrong = Atomic(-1)
        let server = try await bind(receiver, loopback("127.0.0.1")) { [self] bytes, _ in
            let expected = arrived.load(ordering: .relaxed)
            if number(bytes) != expected {
                _ = firstWrong.compareExchange(expected: -1, desired: expected, ordering: .relaxed)
            }
            arrived.store(expected + 1, ordering: .releasing)
        }
        let client = try await bind(sender, loopback("127.0.0.1"))
        let payloads = (0..<256).map { payload($0, count: 1200) }
        var next = 0
        let limit = NIODeadline.now() + .seconds(60)
        while next < count, firstWrong.load(ordering: .relaxed) < 0, NIODeadline.now() < limit {
            let room = min(count, arrived.load(ordering: .acquiring) + 1000)
            guard room > next else {
                await Task.yield()
                continue
            }
            let portion = next..<min(room, next + 256)
            next = portion.upperBound
            try await on(sender) { [self] in
                for number in portion {
                    var bytes = payloads[number & 255]
                    for (index, byte) in payload(number, count: 4).enumerated() { bytes[index] = byte }
                    client.port.value?.send(Transmit(to: server.address, payload: bytes))
                }
                client.port.value?.flush()
            }
        }
        while arrived.load(ordering: .acquiring) < count, NIODeadline.now() < limit { await Task.yield() }
        #expect(arrived.load(ordering: .acquiring) == count)
        #expect(firstWrong.load(ordering: .relaxed) == -1)
        try await close(server.port)
        try await close(client.port)
    }

    @Test func oversizedDatagramsAreDropped() async throws {
        for usesOffload in [true, false] {
            let loop = nextLoop()
            let received = Observed<[UInt8]>(loop)
            let server = try await bind(
                loop,
                loopback("127.0.0.1") {
                    $0.maximumDatagramBytes = 1000
                    $0.usesOffload = usesOffload
                }
            ) { bytes, _ in received.add(bytes) }
            try await on(loop) {
                for size in [1000, 1001, 999, 30_000, 4] {
                    server.port.value?.send(
                        Transmit(to: server.address, payload: [UInt8](repeating: 5, count: size)))
                }
                server.port.value?.flush()
            }
            #expect(try await received.wait(count: 3).map(\.count) == [1000, 999, 4])
            #expect(try await on(loop) { server.port.value?.counters.receiveDrops } == 2)
            try await close(server.port)
        }
    }

    /// One peer sends far more than is worked off; another sends one at a time and waits for the echo.
    @Test func aFloodDoesNotStarveOthers() async throws {
        let (loop, flooding, patient) = (nextLoop(), nextLoop(), nextLoop())
        let work = Atomic(0)
        let box = NIOLoopBoundBox<UDPPort?>.makeEmptyBox(valueType: UDPPort.self, eventLoop: loop)
        let server = try await on(loop) {
            let port = UDPPort(eventLoop: loop, configuration: UDPPortConfiguration(host: IPAddress("127.0.0.1")))
            box.value = port
            port.onDatagram = { bytes, source in
                if bytes.count == 4 { return box.value?.send(Transmit(to: source, payload: bytes)) ?? () }
                // What a datagram costs above the socket: about as much as opening a sealed one.
                work.wrappingAdd(bytes.prefix(40).reduce(0) { $0 + Int($1) }, ordering: .relaxed)
            }
            port.onReadComplete = { box.value?.flush() }
            return port.bind()
        }
        let echoes = Observed<Int>(patient)
        let peer = try await bind(patient, loopback("127.0.0.1")) { [self] bytes, _ in echoes.add(number(bytes)) }
        let flooder = try await bind(flooding, loopback("127.0.0.1"))
        let isOver = Atomic(false)
        let flood = Task {
            while !isOver.load(ordering: .relaxed) {
                try await on(flooding) {
                    for _ in 0..<512 {
                        flooder.port.value?.send(Transmit(to: server, payload: [UInt8](repeating: 9, count: 1200)))
                    }
                    flooder.port.value?.flush()
                }
            }
        }
        var answered = 0
        var longest = Duration.zero
        let clock = ContinuousClock()
        for number in 0..<100 {
            let start = clock.now
            try await on(patient) { [self] in
                peer.port.value?.send(Transmit(to: server, payload: payload(number, count: 4)))
                peer.port.value?.flush()
            }
            if (try? await echoes.wait(limit: .milliseconds(500), until: { $0.contains(number) })) != nil {
                answered += 1
                longest = max(longest, clock.now - start)
            }
        }
        isOver.store(true, ordering: .relaxed)
        try await flood.value
        let counters = try #require(try await on(loop) { box.value?.counters })
        // The kernel's own buffer may overflow in between; what comes through it is not kept waiting by the flood.
        #expect(answered >= 90, "longest \(longest), \(counters)")
        #expect(counters.datagramsReceived > 10_000)
        try await on(loop) {
            defer { box.value = nil }
            return box.value?.close() ?? loop.makeSucceededVoidFuture()
        }
        try await close(peer.port)
        try await close(flooder.port)
    }
}

@Suite struct FairQueueTests {
    private let sources = (1...4).map { TransportAddress(.v4(0x7f00_0001), port: $0) }

    @Test func sourcesTakeTurnsAndKeepTheirOrder() {
        var queue = FairQueue(limit: 100)
        for number in 0..<5 {
            let hasDropped = queue.append([UInt8(number)], from: sources[0])
            #expect(!hasDropped)
        }
        for number in 0..<2 {
            let hasDropped = queue.append([UInt8(number)], from: sources[1])
            #expect(!hasDropped)
        }
        var popped: [String] = []
        while let next = queue.popFirst() { popped.append("\(next.source.port):\(next.datagram[0])") }
        #expect(popped == ["1:0", "2:0", "1:1", "2:1", "1:2", "1:3", "1:4"])
        #expect(queue.isEmpty)
    }

    @Test func bytesAreBoundedToo() {
        var queue = FairQueue(limit: 100, byteLimit: 1000)
        for _ in 0..<10 {
            let hasDropped = queue.append([UInt8](repeating: 0, count: 100), from: sources[0])
            #expect(!hasDropped)
        }
        let ownGoes = queue.append([1], from: sources[0])
        #expect(ownGoes && queue.count == 10)
        // Another's needs the room of two.
        let othersFits = queue.append([UInt8](repeating: 2, count: 150), from: sources[1])
        #expect(othersFits && queue.count == 9)
        let tooLong = queue.append([UInt8](repeating: 3, count: 1001), from: sources[2])
        #expect(tooLong && queue.count == 9, "nobody goes for what does not fit at all")
        while queue.popFirst() != nil {}
        let fitsAgain = queue.append([UInt8](repeating: 3, count: 1000), from: sources[2])
        #expect(!fitsAgain && queue.count == 1)
    }

    @Test func theLoudestLosesFirst() {
        var queue = FairQueue(limit: 8)
        for number in 0..<8 {
            let hasDropped = queue.append([UInt8(number)], from: sources[0])
            #expect(!hasDropped)
        }
        // Full: its own go, others find room.
        let hasDropped = queue.append([8], from: sources[0])
        #expect(hasDropped)
        for number in 0..<3 {
            let hasDropped = queue.append([UInt8(number)], from: sources[1])
            #expect(hasDropped)
        }
        #expect(queue.count == 8)
        var counts: [UInt16: Int] = [:]
        var first: [UInt8] = []
        while let next = queue.popFirst() {
            counts[next.source.port, default: 0] += 1
            if next.source == sources[0] { first += next.datagram }
        }
        #expect(counts == [1: 5, 2: 3])
        // The newest went.
        #expect(first == [0, 1, 2, 3, 4])
    }

    @Test(arguments: 0..<20)
    func anyOrderKeepsTheBounds(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let limit = Int.random(in: 1...12, using: &generator)
        var queue = FairQueue(limit: limit)
        var added = 0
        var lost = 0
        var popped = 0
        var last: [TransportAddress: UInt8] = [:]
        for step in 0..<200 {
            if Bool.random(using: &generator) {
                added += 1
                if queue.append([UInt8(step)], from: sources.randomElement(using: &generator) ?? sources[0]) {
                    lost += 1
                }
            } else if let next = queue.popFirst() {
                popped += 1
                #expect(last[next.source].map { $0 < next.datagram[0] } ?? true, "seed \(seed)")
                last[next.source] = next.datagram[0]
            }
            #expect(queue.count <= limit, "seed \(seed)")
            #expect(added == lost + popped + queue.count, "seed \(seed)")
            #expect(queue.isEmpty == (queue.count == 0))
        }
    }

    @Test func joinedDatagramsAreCutApart() {
        #expect(Array(DatagramSegments(length: 0, segmentSize: 0)) == [0..<0])
        #expect(Array(DatagramSegments(length: 5, segmentSize: 0)) == [0..<5])
        #expect(Array(DatagramSegments(length: 5, segmentSize: 5)) == [0..<5])
        #expect(Array(DatagramSegments(length: 5, segmentSize: 2)) == [0..<2, 2..<4, 4..<5])
        #expect(Array(DatagramSegments(length: 4, segmentSize: 2)) == [0..<2, 2..<4])
        #expect(!DatagramSegments(length: 5, segmentSize: 5).isJoined)
        #expect(DatagramSegments(length: 5, segmentSize: 4).isJoined)
    }
}
