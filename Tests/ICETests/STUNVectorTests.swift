import Crypto
import Foundation
import SwarmBase
import Testing

@testable import ICE

/// RFC 5769 and messages recorded from real agents.
@Suite struct STUNVectorTests {
    static let id = "b7e7a701bc34d686fa87dfae"
    static let password = "VOkJxbRl1RmTxUk/WvJxBt"

    private func bytes(_ text: String) throws -> [UInt8] {
        try #require([UInt8](hexadecimal: text.filter { !$0.isWhitespace }))
    }

    @Test func sampleRequest() throws {
        let datagram = try bytes(
            """
            000100582112a442b7e7a701bc34d686fa87dfae
            802200105354554e207465737420636c69656e74
            002400046e0001ff80290008932ff9b151263b36
            000600096576746a3a68367659202020
            000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2
            80280004e57a3bcf
            """)
        let received = try ReceivedSTUNMessage(parsing: datagram)
        #expect(received.message.messageClass == .request)
        #expect(received.message.method == .binding)
        #expect(received.message.transactionID.bytes.hexadecimal == Self.id)
        #expect(
            received.message.attributes == [
                .software("STUN test client"), .priority(0x6e00_01ff), .iceControlled(0x932f_f9b1_5126_3b36),
                .username(Array("evtj:h6vY".utf8)),
            ])
        #expect(received.hasFingerprint)
        #expect(received.isAuthentic(key: STUNIntegrityKey(password: Self.password)))
        #expect(!received.isAuthentic(key: STUNIntegrityKey(password: Self.password + "x")))
        #expect(STUNMessage.localUfrag(of: datagram) == "evtj")
    }

    @Test(arguments: [
        (
            """
            0101003c2112a442b7e7a701bc34d686fa87dfae
            8022000b7465737420766563746f7220
            002000080001a147e112a643
            000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7
            80280004c07d4c96
            """, "192.0.2.1:32853"
        ),
        (
            """
            010100482112a442b7e7a701bc34d686fa87dfae
            8022000b7465737420766563746f7220
            002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9
            00080014a382954e4be67bf11784c97c8292c275bfe3ed41
            80280004c8fb0b4c
            """, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"
        ),
    ]) func sampleResponse(_ text: String, _ mapped: String) throws {
        let received = try ReceivedSTUNMessage(parsing: bytes(text))
        #expect(received.message.messageClass == .success)
        #expect(received.message.attributes.first == .software("test vector"))
        #expect(received.message.reflexiveAddress == TransportAddress(mapped))
        #expect(received.hasFingerprint)
        #expect(received.isAuthentic(key: STUNIntegrityKey(password: Self.password)))
    }

    @Test func sampleRequestWithLongTermCredentials() throws {
        let datagram = try bytes(
            """
            000100602112a44278ad3433c6ad72c029da412e
            00060012e3839ee38388e383aae38383e382afe382b90000
            0015001c662f2f3439396b39353464364f4c33346f4c394653547679363473 41
            0014000b6578616d706c652e6f726700
            00080014f67024656dd64a3e02b8e0712e85c9a28ca89666
            """)
        let received = try ReceivedSTUNMessage(parsing: datagram)
        let user = "マトリックス"
        #expect(
            received.message.attributes == [
                .username(Array(user.utf8)), .nonce(Array("f//499k954d6OL34oL9FSTvy64sA".utf8)),
                .realm(Array("example.org".utf8)),
            ])
        #expect(!received.hasFingerprint)
        let digest = Insecure.MD5.hash(data: Data("\(user):example.org:TheMatrIX".utf8))
        #expect(received.isAuthentic(key: STUNIntegrityKey(Array(digest))))
        // Nothing in it needs padding other than zeros, so writing it again gives the same bytes.
        #expect(received.message.encoded(key: STUNIntegrityKey(Array(digest)), fingerprint: false) == datagram)
    }

    struct Recording: Decodable {
        struct Packet: Decodable {
            let kind: String
            let source: String
            let bytes: Int
            let hex: String
        }
        let packets: [Packet]
    }

    @Test func recordedPacketsOfAllProtocols() throws {
        let url = try #require(
            Bundle.module.url(forResource: "udp-demux", withExtension: "json", subdirectory: "Resources"))
        let recording = try JSONDecoder().decode(Recording.self, from: Data(contentsOf: url))
        var stun = 0
        for packet in recording.packets {
            var datagram = try bytes(packet.hex)
            datagram += Array(repeating: 0, count: packet.bytes - datagram.count)
            let isSTUN = packet.kind.hasPrefix("stun")
            #expect(STUNMessage.isSTUN(datagram) == isSTUN, "\(packet.kind)")
            guard isSTUN else {
                #expect(throws: STUNError.notSTUN) { try ReceivedSTUNMessage(parsing: datagram) }
                continue
            }
            stun += 1
            let received = try ReceivedSTUNMessage(parsing: datagram)
            #expect(received.unknownRequiredAttributes.isEmpty)
            let isRequest = packet.kind.contains("request")
            #expect(STUNMessage.messageClass(of: datagram) == (isRequest ? .request : .success))
            if packet.source.contains("by hand") { continue }
            #expect(received.hasIntegrity && received.hasFingerprint)
            if isRequest {
                #expect(STUNMessage.localUfrag(of: datagram)?.count == 4)
                #expect(received.message.priority != nil)
            } else {
                #expect(received.message.reflexiveAddress != nil)
            }
        }
        #expect(stun == 9)
        #expect(recording.packets.count > 25)
    }

    @Test func recordedCheckOfChromium() throws {
        let datagram = try bytes(
            """
            0001004c2112a442556f6f50523553487339312f000600095a564b6a3a79425048000000c0570004000003e7
            80290008da95311d85950551002400046e001eff0008001494d194f0671361848dee330a4694339c42aede76
            80280004c4ccfad8
            """)
        let message = try ReceivedSTUNMessage(parsing: datagram).message
        #expect(message.username == Array("ZVKj:yBPH".utf8))
        #expect(message.attributes.contains(.other(type: 0xc057, value: [0, 0, 3, 0xe7])))
        #expect(message.attributes.contains(.iceControlled(0xda95_311d_8595_0551)))
        #expect(!message.hasUseCandidate)
    }
}
