import SwarmBase
import Testing

@testable import ICE

@Suite struct STUNBindingClientTests {
    static let servers = ["198.51.100.1:3478", "198.51.100.2:3478", "198.51.100.1:3479"].compactMap {
        TransportAddress($0)
    }
    static let own = TransportAddress(.v4(0xcb00_7107), port: 40_000)

    /// The client behind a reference: `#expect` and `#require` cannot call mutating methods of a value.
    private final class Box {
        var client: STUNBindingClient
        init(_ seed: UInt64) { client = STUNBindingClient(entropy: .seed(seed)) }
        func addServer(_ address: TransportAddress, now: Instant) { client.addServer(address, now: now) }
        func removeServer(_ address: TransportAddress, now: Instant) { client.removeServer(address, now: now) }
        func refresh(now: Instant) { client.refresh(now: now) }
        func handleTimeout(now: Instant) { client.handleTimeout(now: now) }
        func owns(transaction: STUNTransactionID) -> Bool { client.owns(transaction: transaction) }
        func mapping(isIPv6: Bool) -> NATMapping { client.mapping(isIPv6: isIPv6) }
        var nextTimeout: Instant? { client.nextTimeout }
        var serverAddresses: [TransportAddress] { client.serverAddresses }
        func pollTransmit() -> Transmit? { client.pollTransmit() }
        func pollEvent() -> STUNBindingEvent? { client.pollEvent() }
        @discardableResult
        func handle(stun: [UInt8], from source: TransportAddress, now: Instant) -> Bool {
            client.handle(stun: stun, from: source, now: now)
        }
    }

    private func answer(_ transmit: Transmit, seenAs address: TransportAddress) throws -> [UInt8] {
        try #require(STUNBindingServer.respond(to: transmit.payload, from: address))
    }

    @Test func endpointIndependentMapping() throws {
        let client = Box(1)
        var now = Instant.zero
        client.addServer(Self.servers[0], now: now)
        let first = try #require(client.pollTransmit())
        #expect(first.destination == Self.servers[0])
        now += .milliseconds(30)
        let id = try #require(STUNMessage.transactionID(of: first.payload))
        #expect(client.owns(transaction: id))
        let datagram = try answer(first, seenAs: Self.own)
        #expect(!client.handle(stun: datagram, from: Self.servers[1], now: now), "from the wrong server")
        #expect(client.handle(stun: datagram, from: Self.servers[0], now: now))
        #expect(!client.handle(stun: datagram, from: Self.servers[0], now: now), "twice")
        #expect(client.pollEvent() == .reflexive(Self.own, server: Self.servers[0]))
        #expect(client.pollEvent() == nil)
        #expect(client.mapping(isIPv6: false) == .unknown)

        client.addServer(Self.servers[1], now: now)
        let second = try #require(client.pollTransmit())
        client.handle(stun: try answer(second, seenAs: Self.own), from: Self.servers[1], now: now)
        #expect(client.pollEvent() == .reflexive(Self.own, server: Self.servers[1]))
        #expect(client.pollEvent() == .mappingChanged(.endpointIndependent(Self.own), isIPv6: false))

        // Kept alive, and a change is noticed.
        #expect(client.nextTimeout == .zero + .milliseconds(30) + .seconds(25))
        now += .seconds(26)
        client.handleTimeout(now: now)
        let moved = TransportAddress(Self.own.address, port: 40_001)
        var asked = 0
        while let transmit = client.pollTransmit() {
            asked += 1
            client.handle(stun: try answer(transmit, seenAs: moved), from: transmit.destination, now: now)
        }
        #expect(asked == 2)
        #expect(client.mapping(isIPv6: false) == .endpointIndependent(moved))
    }

    @Test func addressDependentMapping() throws {
        let client = Box(2)
        for server in Self.servers.prefix(2) { client.addServer(server, now: .zero) }
        var port: UInt16 = 1
        while let transmit = client.pollTransmit() {
            let seen = TransportAddress(Self.own.address, port: port)
            client.handle(stun: try answer(transmit, seenAs: seen), from: transmit.destination, now: .zero)
            port += 1
        }
        #expect(client.mapping(isIPv6: false) == .addressDependent)
        #expect(client.mapping(isIPv6: true) == .unknown)
    }

    @Test func twoPortsOfOneServerProveNothing() throws {
        let client = Box(3)
        client.addServer(Self.servers[0], now: .zero)
        client.addServer(Self.servers[2], now: .zero)
        while let transmit = client.pollTransmit() {
            client.handle(stun: try answer(transmit, seenAs: Self.own), from: transmit.destination, now: .zero)
        }
        #expect(client.mapping(isIPv6: false) == .unknown)
    }

    @Test func silentServer() {
        let client = Box(4)
        client.addServer(Self.servers[0], now: .zero)
        var times: [Double] = []
        var now = Instant.zero
        var events: [STUNBindingEvent] = []
        while now < .zero + .seconds(60) {
            while client.pollTransmit() != nil { times.append((now - .zero).milliseconds) }
            while let event = client.pollEvent() { events.append(event) }
            now = client.nextTimeout ?? .distantFuture
            client.handleTimeout(now: now)
        }
        // RFC 8489 §6.2.1's example.
        #expect(times == [0, 500, 1500, 3500, 7500, 15500, 31500])
        #expect(events == [.unreachable(server: Self.servers[0])])
        #expect(now == .zero + .milliseconds(39_500) + .seconds(60))
    }

    @Test func errorsAndLimits() throws {
        let client = Box(5)
        client.addServer(Self.servers[0], now: .zero)
        client.addServer(Self.servers[0], now: .zero)
        client.addServer(TransportAddress(.v4(1), port: 0), now: .zero)
        #expect(client.serverAddresses == [Self.servers[0]])
        let transmit = try #require(client.pollTransmit())
        #expect(client.pollTransmit() == nil)
        let id = try #require(STUNMessage.transactionID(of: transmit.payload))
        let error = STUNMessage(.error, transactionID: id, attributes: [.errorCode(500, reason: "busy")])
        #expect(client.handle(stun: error.encoded(), from: Self.servers[0], now: .zero))
        #expect(client.pollEvent() == .unreachable(server: Self.servers[0]))
        client.refresh(now: .zero + .seconds(1))
        #expect(client.pollTransmit() != nil)
        for number in UInt32(1)...20 { client.addServer(TransportAddress(.v4(number), port: 1), now: .zero) }
        #expect(client.serverAddresses.count == 8)
        client.removeServer(Self.servers[0], now: .zero)
        #expect(client.serverAddresses.count == 7)
    }

    /// The client, the server and NATs of every kind together.
    @Test(arguments: NATKind.allCases.filter { $0 != .none }) func throughNAT(_ kind: NATKind) throws {
        let nat = NAT(kind, outside: Self.own.address, firstPort: 40_000)
        let client = Box(6)
        for server in Self.servers.prefix(2) { client.addServer(server, now: .zero) }
        while let transmit = client.pollTransmit() {
            let mapped = nat.send(to: transmit.destination)
            #expect(nat.admits(transmit.destination, at: mapped.port))
            client.handle(stun: try answer(transmit, seenAs: mapped), from: transmit.destination, now: .zero)
        }
        let expected = kind == .symmetric ? NATMapping.addressDependent : .endpointIndependent(Self.own)
        #expect(client.mapping(isIPv6: false) == expected)
    }
}
