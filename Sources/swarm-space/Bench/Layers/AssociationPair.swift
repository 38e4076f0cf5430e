import SCTP
import SwarmBase

/// Two SCTP associations back to back, in memory and on virtual time.
struct AssociationPair: ~Copyable {
    private var sender: DataChannelTransport
    private var receiver: DataChannelTransport
    private var now = Instant.zero
    private var packets = 0
    private var received = 0
    private var channel: DataChannelID = 0

    private init() {
        let configuration = SCTPConfiguration()
        sender = DataChannelTransport(
            configuration: configuration, isDTLSClient: true, remoteMaxMessageSize: configuration.maxMessageSize,
            entropy: .seed(1))
        receiver = DataChannelTransport(
            configuration: configuration, isDTLSClient: false, remoteMaxMessageSize: configuration.maxMessageSize,
            entropy: .seed(2))
    }

    /// Two associations that are connected, with a channel.
    static func make() throws -> AssociationPair {
        var pair = AssociationPair()
        pair.sender.connect(now: pair.now)
        pair.receiver.connect(now: pair.now)
        pair.channel = try pair.sender.open(DataChannelOptions(label: "bench"))
        while pair.exchange() {}
        return pair
    }

    /// Sends `bytes` in messages of one size, and waits until all have come.
    mutating func transfer(bytes: Int, messageSize: Int) throws -> LayerCost {
        let message = [UInt8](repeating: 0x5a, count: messageSize)
        let count = bytes / messageSize
        (packets, received) = (0, 0)
        let start = ThreadTime.now
        var sent = 0
        while received < count * messageSize {
            while sent < count, sender.bufferedAmount < 1 << 18 {
                try sender.send(message, kind: .binary, on: channel, now: now)
                sent += 1
            }
            now += .microseconds(50)
            exchange()
        }
        return LayerCost(
            name: "SCTP", packets: packets, bytes: received, nanoseconds: ThreadTime.now - start)
    }

    /// One batch each way, as a socket would bring it.
    @discardableResult
    private mutating func exchange() -> Bool {
        sender.handleTimeout(now: now)
        receiver.handleTimeout(now: now)
        let before = packets
        while let packet = sender.pollTransmit(now: now) {
            packets += 1
            receiver.handle(packet: packet, now: now)
        }
        while let event = receiver.pollEvent() {
            if case .message(_, _, let payload) = event { received += payload.count }
        }
        while let packet = receiver.pollTransmit(now: now) {
            packets += 1
            sender.handle(packet: packet, now: now)
        }
        while sender.pollEvent() != nil {}
        return packets > before
    }
}
