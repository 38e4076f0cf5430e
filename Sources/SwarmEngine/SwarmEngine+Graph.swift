import Gun
import SCTP
import SwarmBase
import WebRTC

/// The graph over data channels (docs/protocol.md, "Graph"): a channel of its own that speaks GUN's wire protocol.
extension SwarmEngine {
    /// The label of the channel that carries the graph.
    static let graphLabel = "gun"
    /// Above how many waiting bytes a member is given nothing more, and at how many again.
    static let graphQueue = (high: 256 * 1024, low: 64 * 1024)

    /// The session's channel is open: whoever made the offer opens the graph's beside it.
    mutating func openGraphChannel(on connection: Connection, now: Instant) {
        guard connection.isOfferer, connection.graphChannel == nil else { return }
        connection.graphChannel = try? connection.peerConnection.openChannel(
            DataChannelOptions(label: Self.graphLabel), now: now)
    }

    /// The graph's channel is open on both sides.
    mutating func graphChannelOpened(_ channel: DataChannelHandle, on connection: Connection, now: Instant) {
        guard connection.graphLink == nil, connection.peer.flatMap({ members[$0] }) != nil else { return }
        connection.graphChannel = channel
        connection.peerConnection.setBufferedAmountLowThreshold(Self.graphQueue.low, of: channel)
        let link = gun.memberOpened(now: now)
        connection.graphLink = link
        graphLinks[link] = connection.id
        drainGun(now: now)
    }

    mutating func graphChannelClosed(on connection: Connection, now: Instant) {
        connection.graphChannel = nil
        guard let link = connection.graphLink else { return }
        connection.graphLink = nil
        graphLinks[link] = nil
        gun.memberClosed(link, now: now)
    }

    mutating func receive(graphFrame frame: [UInt8], on connection: Connection, now: Instant) {
        guard let link = connection.graphLink else { return }
        gun.receive(frame, from: link, now: now, wall: wall(now))
        drainGun(now: now)
    }

    mutating func graphChannelHasRoom(on connection: Connection, now: Instant) {
        guard let link = connection.graphLink else { return }
        gun.memberWritabilityChanged(link, isWritable: true)
        sendGraph(now: now)
    }

    /// Sends members what there is for them, as far as their channels have room.
    mutating func sendGraph(now: Instant) {
        while let (link, frame) = gun.pollMemberFrame() {
            guard let id = graphLinks[link], let connection = connections[id], let channel = connection.graphChannel
            else { continue }
            // A frame that the channel refuses is lost with the channel, which is closing.
            try? connection.peerConnection.send(frame, kind: .text, on: channel, now: now)
            flush(connection, now: now)
            if connection.peerConnection.bufferedAmount(of: channel) > Self.graphQueue.high {
                gun.memberWritabilityChanged(link, isWritable: false)
            }
        }
    }
}
