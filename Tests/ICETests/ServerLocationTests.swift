import ICE
import Testing

@Suite struct ServerLocationTests {
    @Test(arguments: [
        ("turn:turn.example.org", "turn.example.org", UInt16(3478), TURNLocation.Carrier.udp),
        ("turn:192.0.2.7:40000", "192.0.2.7", 40000, .udp),
        ("TURN:host:1?transport=UDP", "host", 1, .udp),
        ("turn:host?transport=tcp", "host", 3478, .tcp),
        ("turns:host", "host", 5349, .tls),
        ("turns:host:443?transport=tcp", "host", 443, .tls),
        ("turn:[2001:db8::1]", "2001:db8::1", 3478, .udp),
        ("turn:[2001:db8::1]:65535", "2001:db8::1", 65535, .udp),
    ])
    func turnServersAreRead(text: String, host: String, port: UInt16, carrier: TURNLocation.Carrier) throws {
        let location = try #require(TURNLocation(text))
        #expect(location == TURNLocation(host: host, port: port, carrier: carrier))
        #expect(TURNLocation(location.description) == location)
    }

    @Test(arguments: [
        "", "turn", "turn:", "turn::3478", "turn:host:", "turn:host:0", "turn:host:65536", "turn:host:+1",
        "turn:host:1:2", "turn:2001:db8::1", "turn:[::1", "turn:[]:1", "turn:[::1]x", "turn:host?transport=sctp",
        "turn:host?transport=udp?x", "turns:host?transport=udp", "stun:host", "turn:user@host", "turn://host",
        "turn:host:٣",
    ])
    func otherTextIsNoTURNServer(text: String) {
        #expect(TURNLocation(text) == nil)
    }

    @Test(arguments: [
        ("stun:stun.example.org", "stun.example.org", UInt16(3478)), ("STUN:192.0.2.7:1", "192.0.2.7", 1),
        ("stun:[::1]:3479", "::1", 3479),
    ])
    func stunServersAreRead(text: String, host: String, port: UInt16) throws {
        let location = try #require(STUNLocation(text))
        #expect(location == STUNLocation(host: host, port: port))
        #expect(STUNLocation(location.description) == location)
    }

    @Test(arguments: ["", "stun:", "stuns:host", "stun:host:0", "stun:::1", "stun:host?transport=udp", "turn:host"])
    func otherTextIsNoSTUNServer(text: String) {
        #expect(STUNLocation(text) == nil)
    }
}
