import SwarmBase
import Testing

@testable import ICE

@Suite struct TURNClientTests {
    static let peer = TURNBench.peer
    static let check: [UInt8] = [0, 1, 0, 0]
    static let data: [UInt8] = [23, 254, 253, 9, 9]

    // MARK: Allocation and credentials

    @Test(arguments: [TURNTransport.udp, .stream]) func allocates(transport: TURNTransport) throws {
        var bench = TURNBench()
        let id = try bench.begin(transport)
        let relayed = TransportAddress(TURNServerModel.relayIPv4, port: 50_000)
        #expect(bench.events.last == .allocated(id, relayed: relayed, mapped: TURNBench.socket))
        #expect(bench.client.isRelay(relayed) && bench.client.relayedAddresses(of: id) == [relayed])
        // Bare first, then with what the 401 asked for.
        #expect(bench.server.log.map(\.isSigned) == [false, true])
        #expect(bench.events.contains(.connect(id, TURNServerModel.address)) == (transport == .stream))
    }

    @Test(arguments: [[2, 1], [1], [9, 2], [1, 2]] as [[UInt16]]) func offeredAlgorithms(offered: [UInt16]) throws {
        var bench = TURNBench()
        bench.server.security = .algorithms(offered)
        _ = try bench.begin()
        #expect(bench.relayed.count == 1)
        bench.server.nonceNumber += 1
        bench.run(for: .seconds(600))
        #expect(bench.server.clients.count == 1, "the refresh goes on with the new nonce")
        #expect(bench.failures.isEmpty)
    }

    @Test func aWeakenedOfferIsRefused() throws {
        var bench = TURNBench()
        bench.server.security = .algorithms([2, 1])
        bench.server.hidesAlgorithms = true
        _ = try bench.begin()
        #expect(bench.failures == [.unauthorized])
        #expect(bench.server.log.count == 1, "nothing was signed for it")
        var unknown = TURNBench()
        unknown.server.security = .algorithms([77])
        _ = try unknown.begin()
        #expect(unknown.failures == [.unauthorized])
    }

    @Test func aServerMayAskForNothing() throws {
        var bench = TURNBench()
        bench.server.security = .none
        _ = try bench.begin()
        #expect(bench.relayed.count == 1)
    }

    @Test func aWrongPasswordIsTriedOnce() throws {
        var bench = TURNBench()
        _ = try bench.begin(password: "wrong")
        #expect(bench.failures == [.unauthorized])
        bench.run(for: .seconds(119))
        #expect(bench.server.log.count == 2)
        bench.run(for: .seconds(2))
        #expect(bench.server.log.count == 4)
    }

    @Test func endlessNewNoncesEnd() throws {
        var bench = TURNBench()
        bench.server.allocateErrors = [401] + Array(repeating: 438, count: 50)
        _ = try bench.begin()
        #expect(bench.failures == [.unauthorized])
        #expect(bench.server.log.count == 5)
    }

    @Test func forgedAnswersAreNotBelieved() throws {
        var bench = TURNBench()
        let id = try #require(bench.client.addServer(try TURNBench.configuration()))
        bench.client.retain(id, by: TURNBench.session, now: .zero)
        let firstSent = bench.client.pollTransmit()
        let first = try #require(firstSent)
        let request = try ReceivedSTUNMessage(parsing: first.payload).message
        let challenge = STUNMessage(
            .error, method: .allocate, transactionID: request.transactionID,
            attributes: [.errorCode(401, reason: ""), .realm([1]), .nonce([2])])
        // From somewhere else, or with an id that was never used: not for this client.
        var isOurs = bench.client.handle(datagram: challenge.encoded(), from: Self.peer, now: .zero)
        #expect(!isOurs)
        isOurs = bench.client.handle(datagram: challenge.encoded(), from: TURNServerModel.address, now: .zero)
        #expect(isOurs)
        isOurs = bench.client.handle(datagram: challenge.encoded(), from: TURNServerModel.address, now: .zero)
        #expect(!isOurs, "answered already")
        let secondSent = bench.client.pollTransmit()
        let second = try #require(secondSent)
        let signed = try ReceivedSTUNMessage(parsing: second.payload).message
        let success = STUNMessage(
            .success, method: .allocate, transactionID: signed.transactionID,
            attributes: [.xorRelayedAddress(Self.peer), .xorMappedAddress(Self.peer), .lifetime(600)])
        for key in [nil, STUNIntegrityKey(password: "x")] {
            _ = bench.client.handle(datagram: success.encoded(key: key), from: TURNServerModel.address, now: .zero)
            #expect(bench.client.relayedAddresses(of: id).isEmpty)
        }
    }

    @Test func bothFamilies() throws {
        var bench = TURNBench()
        let id = try bench.begin(families: .both)
        #expect(bench.client.relayedAddresses(of: id).map(\.address.isIPv6) == [false, true])
        let six = try #require(bench.relayed.last)
        let peer = TransportAddress(.v6(0x2001_0db8_0000_0000, 0x99), port: 1)
        bench.send(Self.check, to: peer, via: six)
        bench.run(for: .seconds(1))
        #expect(bench.atPeers.map(\.from) == [six])
        bench.peerSends([1, 2], from: peer, to: six)
        bench.run(for: .seconds(1))
        #expect(bench.received == [TURNReceived(relay: six, peer: peer, payload: [1, 2])])
        var only = TURNBench()
        _ = try only.begin(families: .ipv6)
        #expect(only.relayed.map(\.address) == [TURNServerModel.relayIPv6])
    }

    // MARK: Errors

    @Test(
        arguments: [(486, TURNFailure.quotaReached), (508, .insufficientCapacity), (500, .refused(code: 500))]
            as [(UInt16, TURNFailure)])
    func refusals(code: UInt16, failure: TURNFailure) throws {
        var bench = TURNBench()
        bench.server.allocateErrors = [code]
        _ = try bench.begin()
        #expect(bench.failures == [failure])
        bench.run(for: .seconds(119))
        #expect(bench.relayed.isEmpty)
        bench.run(for: .seconds(2))
        #expect(bench.relayed.count == 1, "tried again later")
    }

    @Test func anOldAllocationIsGivenBackFirst() throws {
        var bench = TURNBench()
        bench.server.clients[TURNBench.socket] = .init(username: "user", relayed: [], expires: .distantFuture)
        _ = try bench.begin()
        #expect(bench.relayed.count == 1)
        #expect(bench.server.log.map(\.method) == [.allocate, .allocate, .refresh, .allocate])
    }

    @Test func anotherServerIsTriedOnce() throws {
        var bench = TURNBench()
        bench.server.allocateErrors = [300, 300]
        bench.server.alternate = TransportAddress(.v4(0xc633_6409), port: 3479)
        let id = try #require(bench.client.addServer(try TURNBench.configuration()))
        bench.client.retain(id, by: TURNBench.session, now: .zero)
        let firstSent = bench.client.pollTransmit()
        let first = try #require(firstSent)
        #expect(first.destination == TURNServerModel.address)
        for output in bench.server.handle(first.payload, from: TURNBench.socket, now: .zero) {
            guard case .client(_, let bytes) = output else { continue }
            _ = bench.client.handle(datagram: bytes, from: TURNServerModel.address, now: .zero)
        }
        let secondSent = bench.client.pollTransmit()
        let second = try #require(secondSent)
        #expect(second.destination == bench.server.alternate)
        for output in bench.server.handle(second.payload, from: TURNBench.socket, now: .zero) {
            guard case .client(_, let bytes) = output else { continue }
            _ = bench.client.handle(datagram: bytes, from: second.destination, now: .zero)
        }
        #expect(bench.client.pollEvent() == .failed(id, .refused(code: 300)))
    }

    @Test func aDeadServerIsReportedAndAskedAgain() throws {
        var bench = TURNBench()
        bench.isServerDead = true
        _ = try bench.begin()
        bench.run(for: .milliseconds(39_300))
        #expect(bench.failures.isEmpty && bench.sent.count == 7)
        bench.run(for: .milliseconds(200))
        #expect(bench.failures == [.unreachable])
        bench.isServerDead = false
        bench.run(for: .seconds(3))
        #expect(bench.relayed.count == 1)
    }

    @Test func aRestartedServerIsNoticed() throws {
        var bench = TURNBench()
        let id = try bench.begin()
        let old = try #require(bench.relayed.first)
        bench.server.clients = [:]
        bench.send(Self.data, via: old)
        bench.run(for: .seconds(5))
        #expect(bench.events.contains(.lost(id, relayed: old)))
        #expect(bench.failures == [.allocationMismatch])
        #expect(bench.relayed.count == 2 && bench.client.relayedAddresses(of: id) == [bench.relayed[1]])
    }

    @Test func aStreamThatBreaksIsOpenedAgain() throws {
        var bench = TURNBench()
        let id = try bench.begin(.stream)
        bench.server.clients = [:]
        bench.client.streamClosed(id, now: bench.now)
        bench.run(for: .seconds(2))
        #expect(bench.failures == [.disconnected])
        #expect(bench.relayed.count == 2)
        // Bytes that are not TURN end it as well.
        bench.client.handle(stream: [0x16, 3, 1], from: id, now: bench.now)
        bench.drain()
        #expect(bench.failures.count == 2)
        #expect(bench.events.contains(.disconnect(id)))
    }

    /// What must not be fragmented stays so inside the server's framing; what comes after it need not.
    @Test func whatMustStayWholeDoes() throws {
        var bench = TURNBench()
        _ = try bench.begin(.udp)
        let relay = try #require(bench.relayed.first)
        bench.send(Self.data, via: relay)
        bench.run(for: .seconds(1))
        for forbids in [true, false, true] {
            let transmit = Transmit(to: TURNBench.peer, payload: Self.data, via: relay, forbidsFragmentation: forbids)
            bench.client.send(transmit, for: TURNBench.session, now: bench.now)
            let framed = bench.client.pollTransmit()
            #expect(framed?.forbidsFragmentation == forbids)
        }
    }

    // MARK: Lifetimes

    @Test(arguments: [TURNTransport.udp, .stream]) func everythingIsRefreshed(transport: TURNTransport) throws {
        var bench = TURNBench()
        _ = try bench.begin(transport)
        let relay = try #require(bench.relayed.first)
        bench.send(Self.data, via: relay)
        for minute in 1...60 {
            bench.run(for: .seconds(60))
            if minute % 7 == 0 { bench.server.nonceNumber += 1 }
            bench.send(Self.data, via: relay)
            bench.peerSends([UInt8(minute)], to: relay)
        }
        bench.run(for: .seconds(1))
        #expect(bench.atPeers.count == 61)
        #expect(bench.received.map(\.payload) == (1...60).map { [UInt8($0)] })
        #expect(bench.failures.isEmpty && bench.relayed.count == 1)
        // Once each, then again for each new nonce.
        #expect((15...25).contains(bench.server.count(.createPermission)))
        #expect((6...20).contains(bench.server.count(.channelBind)))
        #expect((6...20).contains(bench.server.count(.refresh)))
    }

    @Test func lossDoesNoHarm() throws {
        for seed in 0..<20 as Range<UInt64> {
            var bench = TURNBench(seed: seed)
            bench.loss = 20
            _ = try bench.begin()
            bench.run(for: .seconds(60))
            let relay = try #require(bench.relayed.last, "seed \(seed)")
            for _ in 0..<60 {
                bench.run(for: .seconds(30))
                if bench.client.isRelay(relay) { bench.send(Self.data, via: relay) }
            }
            #expect(bench.atPeers.count > 30, "seed \(seed)")
        }
    }

    @Test func whatNobodyNeedsEnds() throws {
        var bench = TURNBench()
        let id = try bench.begin()
        let relay = try #require(bench.relayed.first)
        let other = TURNUser(8)
        bench.client.retain(id, by: other, now: bench.now)
        bench.send(Self.data, via: relay)
        bench.run(for: .seconds(1))
        bench.client.forget(TURNBench.session, now: bench.now)
        bench.run(for: .seconds(1200))
        #expect(bench.server.count(.createPermission) == 1 && bench.server.count(.channelBind) == 1)
        #expect(bench.relayed.count == 1 && bench.failures.isEmpty, "the other user keeps the allocation")
        #expect(bench.server.clients.count == 1)
        bench.client.release(id, by: other, now: bench.now)
        bench.run(for: .seconds(1))
        #expect(bench.server.clients.isEmpty, "given back by Refresh 0")
        #expect(bench.events.last == .lost(id, relayed: relay))
        #expect(bench.client.nextTimeout == nil)
        bench.client.retain(id, by: other, now: bench.now)
        bench.run(for: .seconds(1))
        #expect(bench.relayed.count == 2)
        bench.client.removeServer(id, now: bench.now)
        bench.run(for: .seconds(1))
        #expect(bench.server.clients.isEmpty && bench.client.servers.isEmpty)
    }

    @Test func usersShareOneAllocation() throws {
        var bench = TURNBench()
        let id = try bench.begin()
        for number in 100..<200 as Range<UInt64> { bench.client.retain(id, by: TURNUser(number), now: bench.now) }
        bench.run(for: .seconds(1))
        #expect(bench.server.count(.allocate) == 2)
        let relay = try #require(bench.relayed.first)
        for number in 100..<200 as Range<UInt64> { bench.send(Self.check, via: relay, user: TURNUser(number)) }
        bench.run(for: .seconds(1))
        #expect(bench.server.count(.createPermission) == 1, "one permission for all")
        for number in 100..<199 as Range<UInt64> { bench.client.forget(TURNUser(number), now: bench.now) }
        bench.client.forget(TURNBench.session, now: bench.now)
        bench.run(for: .seconds(250))
        #expect(bench.server.count(.createPermission) == 2, "the last one still needs it")
    }

    @Test func theNATsMappingIsKept() throws {
        var bench = TURNBench()
        _ = try bench.begin()
        let before = bench.sent.count
        bench.run(for: .seconds(100))
        let later = bench.sent.dropFirst(before).compactMap { try? ReceivedSTUNMessage(parsing: $0).message }
        #expect(later.count == 3 || later.count == 4)
        #expect(later.allSatisfy { $0.method == .binding && $0.messageClass == .indication })
    }

    // MARK: Data

    @Test(arguments: [TURNTransport.udp, .stream]) func indicationsThenChannels(transport: TURNTransport) throws {
        var bench = TURNBench()
        bench.cut = 1...7
        _ = try bench.begin(transport)
        let relay = try #require(bench.relayed.first)
        bench.send(Self.check, via: relay)
        #expect(bench.atPeers.isEmpty, "it waits for the permission")
        bench.run(for: .seconds(1))
        #expect(bench.atPeers.map(\.payload) == [Self.check])
        bench.send(Self.check, via: relay)
        let indication = try #require(bench.sent.last)
        #expect(indication.count == Self.check.count + 36)
        #expect(bench.server.count(.channelBind) == 0, "checks need no channel")
        bench.send(Self.data, via: relay)
        bench.run(for: .seconds(1))
        #expect(bench.server.count(.channelBind) == 1)
        bench.send(Self.data, via: relay)
        let channelData = try #require(bench.sent.last)
        #expect(channelData == [0x40, 0, 0, 5] + Self.data + (transport == .stream ? [0, 0, 0] : []))
        #expect(bench.atPeers.count == 4 && bench.atPeers.allSatisfy { $0.from == relay && $0.to == Self.peer })
        bench.peerSends([5], to: relay)
        bench.run(for: .seconds(1))
        #expect(bench.received == [TURNReceived(relay: relay, peer: Self.peer, payload: [5])])
    }

    @Test func aRefusedPeerIsReported() throws {
        var bench = TURNBench()
        let id = try bench.begin()
        bench.server.refusedPeers = [Self.peer.address]
        let relay = try #require(bench.relayed.first)
        for _ in 0..<5 { bench.send(Self.check, via: relay) }
        bench.run(for: .seconds(1))
        #expect(bench.events.last == .peerRefused(id, Self.peer.address))
        for _ in 0..<5 { bench.send(Self.check, via: relay) }
        #expect(bench.atPeers.isEmpty && bench.server.count(.createPermission) == 1)
        bench.server.refusedPeers = []
        bench.run(for: .seconds(61))
        bench.send(Self.check, via: relay)
        bench.run(for: .seconds(1))
        #expect(bench.atPeers.count == 1)
    }

    @Test func whatWaitsIsBounded() throws {
        var configuration = TURNClientConfiguration()
        configuration.maximumPeers = 3
        configuration.maximumPayload = 100
        var bench = TURNBench(configuration: configuration)
        _ = try bench.begin()
        let relay = try #require(bench.relayed.first)
        for number in 0..<20 as Range<UInt8> { bench.send([0, number], via: relay) }
        for host in 0..<20 as Range<UInt32> {
            bench.send(Self.check, to: TransportAddress(.v4(0xc000_0300 + host), port: 1), via: relay)
        }
        bench.send(Array(repeating: 0, count: 101), via: relay)
        bench.send(Self.check, via: TransportAddress(.v4(1), port: 1))
        bench.send(Self.check, to: TransportAddress(.v6(1, 1), port: 1), via: relay)
        bench.run(for: .seconds(1))
        let first = bench.atPeers.filter { $0.to == Self.peer }.map(\.payload)
        #expect(first == (12..<20).map { [0, UInt8($0)] }, "the oldest go first")
        #expect(bench.atPeers.count == 10)
        bench.send(Array(repeating: 0, count: 100), via: relay)
        #expect(bench.atPeers.count == 11)
    }

    @Test func severalServersButEachOnce() throws {
        var client = TURNClient(entropy: .seed(1))
        let server = try TURNBench.configuration()
        #expect(client.addServer(server) != nil)
        #expect(client.addServer(server) == nil, "one socket, one allocation")
        var other = server
        for number in 1..<8 as Range<UInt16> {
            other.address.port = 4000 + number
            #expect(client.addServer(other) != nil)
        }
        other.address.port = 9000
        #expect(client.addServer(other) == nil)
        #expect(client.servers.count == 8)
        #expect(TURNCredentials(username: "", password: "x") == nil)
        #expect(TURNCredentials(username: String(repeating: "u", count: 508), password: "") != nil)
        #expect(TURNCredentials(username: String(repeating: "u", count: 509), password: "") == nil)
    }
}
