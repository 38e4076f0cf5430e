import SwarmBase
import Testing

@Suite struct TransportAddressTests {
    @Test(arguments: [
        ("1.2.3.4", "1.2.3.4"), ("255.255.255.255", "255.255.255.255"), ("::", "::"), ("::1", "::1"), ("1::", "1::"),
        ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("::ffff:10.0.0.1", "10.0.0.1"),
        ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
        ("fe80::1:2:3:4", "fe80::1:2:3:4"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
        ("1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"),
    ])
    func readsAndWrites(text: String, canonical: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == canonical)
        #expect(IPAddress(canonical) == address)
        #expect(IPAddress(bytes: address.bytes) == address)
    }

    @Test(arguments: [
        "", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "1.2.3.a", ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
        "1::2::3",
        "12345::", "::1.2.3", "1:", ":1", "fe80::1%eth0", "1:2:3:4:5:6:7::8", "localhost",
    ])
    func refuses(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test func ports() {
        #expect(TransportAddress("[::1]:80")?.description == "[::1]:80")
        #expect(TransportAddress("127.0.0.1:65535")?.port == 65535)
        for bad in ["127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:+1", "::1:80", "[1.2.3.4:1"] {
            #expect(TransportAddress(bad) == nil, "\(bad)")
        }
    }

    @Test func ranges() {
        #expect(IPAddress("127.9.9.9")?.isLoopback == true)
        #expect(IPAddress("fe80::1")?.isLinkLocal == true)
        #expect(IPAddress("febf::1")?.isLinkLocal == true)
        #expect(IPAddress("fec0::1")?.isLinkLocal == false)
        #expect(IPAddress("224.0.0.1")?.isMulticastOrBroadcast == true)
    }
}
