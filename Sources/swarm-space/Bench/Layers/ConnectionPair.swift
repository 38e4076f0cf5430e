import DTLS
import ICE
import SCTP
import SwarmBase
import WebRTC

/// Two whole peer connections back to back, in memory and on virtual time.
struct ConnectionPair: ~Copyable {
    private var sender: PeerConnection
    private var receiver: PeerConnection
    private let addresses = (
        sender: TransportAddress(.v4(0x0a00_0001), port: 5001), receiver: TransportAddress(.v4(0x0a00_0002), port: 5002)
    )
    private var now = Instant.zero
    private var packets = 0
    private var received = 0
    private var channel: DataChannelHandle?

    private init(certificates: (DTLSCertificate, DTLSCertificate)) {
        sender = PeerConnection(certificate: certificates.0, entropy: .seed(1), now: now)
        receiver = PeerConnection(certificate: certificates.1, entropy: .seed(2), now: now)
    }

    /// Two connections with an open channel.
    static func make() throws -> ConnectionPair {
        var pair = ConnectionPair(certificates: (try DTLSCertificate(), try DTLSCertificate()))
        try pair.connect()
        return pair
    }

    private mutating func connect() throws {
        sender.addLocalCandidate(.host(addresses.sender))
        receiver.addLocalCandidate(.host(addresses.receiver))
        channel = try sender.openChannel(DataChannelOptions(label: "bench"), now: now)
        let answer = try receiver.accept(offer: try sender.createOffer(now: now), now: now)
        try sender.accept(answer: answer, now: now)
        while sender.state != .connected || receiver.state != .connected {
            now += .milliseconds(1)
            exchange()
        }
    }

    /// Sends `bytes` in messages of one size, and waits until all have come.
    mutating func transfer(bytes: Int, messageSize: Int) throws -> LayerCost {
        guard let channel else { throw PeerConnectionError.unknownChannel }
        let message = [UInt8](repeating: 0x5a, count: messageSize)
        let count = bytes / messageSize
        (packets, received) = (0, 0)
        let start = ThreadTime.now
        var sent = 0
        while received < count * messageSize {
            while sent < count, sender.bufferedAmount(of: channel) < 1 << 18 {
                try sender.send(message, kind: .binary, on: channel, now: now)
                sent += 1
            }
            now += .microseconds(50)
            exchange()
        }
        return LayerCost(
            name: "ICE, DTLS, SCTP", packets: packets, bytes: received, nanoseconds: ThreadTime.now - start)
    }

    /// One batch each way, as a socket would bring it.
    private mutating func exchange() {
        sender.handleTimeout(now: now)
        receiver.handleTimeout(now: now)
        while let transmit = sender.pollTransmit() {
            packets += 1
            receiver.handle(datagram: transmit.payload, from: addresses.sender, now: now)
        }
        while let event = receiver.pollEvent() {
            if case .message(_, _, let payload) = event { received += payload.count }
        }
        while let transmit = receiver.pollTransmit() {
            packets += 1
            sender.handle(datagram: transmit.payload, from: addresses.receiver, now: now)
        }
        while sender.pollEvent() != nil {}
    }
}
