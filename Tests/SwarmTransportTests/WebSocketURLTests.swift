import Testing

@testable import SwarmTransport

@Suite struct WebSocketURLTests {
    @Test(arguments: [
        ("ws://relay.example/gun", "ws://relay.example/gun", "relay.example", 80),
        ("http://relay.example:8765/gun", "ws://relay.example:8765/gun", "relay.example", 8765),
        ("https://Relay.Example/gun", "wss://relay.example/gun", "relay.example", 443),
        ("WSS://tracker.example", "wss://tracker.example/", "tracker.example", 443),
        ("wss://tracker.example?x=1#top", "wss://tracker.example/?x=1", "tracker.example", 443),
        ("ws://user:word@h:1/", "ws://h:1/", "h", 1),
        ("ws://[::1]:7750/gun", "ws://[::1]:7750/gun", "::1", 7750),
        ("ws://[2001:DB8::1]/", "ws://[2001:db8::1]/", "2001:db8::1", 80),
        ("ws://h:/a", "ws://h/a", "h", 80),
        ("ws://h:65535/", "ws://h:65535/", "h", 65535),
        ("ws://h:80/", "ws://h/", "h", 80),
    ])
    func reads(text: String, canonical: String, host: String, port: Int) throws {
        let url = try #require(WebSocketURL(text))
        #expect(url.description == canonical)
        #expect(url.host == host)
        #expect(url.port == port)
        #expect(WebSocketURL(url.description) == url)
    }

    @Test(arguments: [
        "", "relay.example/gun", "ftp://h/", "ws:/h/", "ws://", "ws:///gun", "ws://:80/", "ws://h:0/", "ws://h:65536/",
        "ws://h:+1/", "ws://h:8a/", "ws://h /", "ws://h/a b", "ws://h/\r\nX: y", "ws://h/\u{e9}", "ws://[::1/",
        "ws://[::1]x/", "ws://[1.2.3.4]/", "ws://[]/", "ws://h<x/", "ws://" + String(repeating: "a", count: 2048),
    ])
    func refuses(text: String) { #expect(WebSocketURL(text) == nil) }
}
