import Magnet
import SwarmEngine
import Testing

@testable import SwarmSpace

@Suite struct InviteTests {
    static let hash = "0123456789abcdef0123456789abcdef01234567"

    @Test func aNameIsAnInvite() throws {
        let invite = try Invite("meadow")
        #expect(invite.name == "meadow" && invite.trackers.isEmpty && invite.relays.isEmpty)
        #expect(invite.topic.infoHash == Topic(name: "meadow").infoHash)
        #expect(
            try Invite("meadow", secret: "clover").topic.infoHash == Topic(name: "meadow", secret: "clover").infoHash)
        #expect(try Invite("meadow").topic.infoHash != Invite("Meadow").topic.infoHash)
    }

    @Test func aLinkNamesTrackersAndRelays() throws {
        let invite = try Invite(
            "MAGNET:?xt=urn:btih:\(Self.hash)&dn=the%20meadow&tr=wss%3A%2F%2Ft.example%2F&tr=udp%3A%2F%2Ft.example%3A80"
                + "&tr=https%3A%2F%2Ft.example%2Fannounce&tr=ftp%3A%2F%2Ft.example%2F&x.gun=https%3A%2F%2Fr.example%2Fgun&x.gun=gopher%3A%2F%2Fr.example"
        )
        #expect(invite.name == "the meadow")
        #expect(invite.trackers == ["wss://t.example/", "udp://t.example:80", "https://t.example/announce"])
        #expect(invite.relays == ["https://r.example/gun"])
        #expect(invite.topic.infoHash.description == Self.hash)
    }

    @Test(arguments: [
        "", "magnet:", "magnet:?dn=nothing", "magnet:?xt=urn:btih:zzzz",
        "magnet:?xs=urn:btpk:\(String(repeating: "ab", count: 32))",
    ])
    func whatIsNoInviteIsRefused(_ text: String) {
        #expect { try Invite(text) } throws: { ($0 as? SwarmError)?.code == .invalidInvite }
    }

    @Test func anEmptySecretIsNone() {
        #expect { try Invite("meadow", secret: "") } throws: { ($0 as? SwarmError)?.code == .invalidInvite }
    }

    @Test(arguments: [
        ("tracker", "ws://127.0.0.1:1/", "ftp://127.0.0.1:1/"),
        ("tracker", "udp://t.example:80", "t.example:80"),
        ("tracker", "wss://t.example", "not a url"),
        ("relay", "http://r.example/gun", "ftp://r.example/gun"),
        ("relay", "wss://r.example", "r.example"),
        ("stun", "stun.example.org:3478", "stun.example.org"),
        ("stun", "[::1]:3478", "::1"),
    ])
    func configurationsAreChecked(_ option: String, good: String, bad: String) throws {
        func configuration(_ values: [String]) -> SwarmConfiguration {
            var configuration = SwarmConfiguration()
            switch option {
            case "tracker": configuration.trackers = values
            case "relay": configuration.relays = values
            default: configuration.stunServers = values
            }
            return configuration
        }
        try configuration([good]).validate()
        #expect { try configuration([good, bad]).validate() } throws: {
            ($0 as? SwarmError)?.code == .invalidConfiguration
        }
    }

    @Test func aPathIsNeeded() throws {
        var configuration = SwarmConfiguration()
        configuration.paths = [.relay]
        try configuration.validate()
        configuration.paths = []
        #expect { try configuration.validate() } throws: { ($0 as? SwarmError)?.code == .invalidConfiguration }
    }
}
