public import DTLS
public import SCTP
public import SwarmBase

/// How far a connection is (`RTCPeerConnectionState`).
public enum PeerConnectionState: String, Hashable, Sendable {
    /// The peer's description is not known.
    case new
    /// ICE is looking for a path, or DTLS is shaking hands.
    case connecting
    /// Messages may pass.
    case connected
    /// The path is silent; it may come back by itself.
    case disconnected
    /// The path is lost, and an ICE restart may bring another (then `connected` follows); or DTLS has failed, then
    /// `closed` follows at once.
    case failed
    /// It is over.
    case closed
}

/// Why a connection is closed.
public enum PeerConnectionCloseReason: Equatable, Sendable {
    /// `close` was called.
    case local
    /// The peer closed it: ABORT or SHUTDOWN of SCTP, or close_notify of DTLS.
    case remote
    /// ICE found no path, or lost it, and no restart came in time.
    case pathLost
    /// The DTLS session failed, for example with the wrong certificate.
    case dtls(DTLSError)
    /// The SCTP association failed.
    case sctp(SCTPCloseReason)
}

/// Which way a connection's data goes.
public enum PeerConnectionPath: Hashable, Sendable {
    /// From socket to socket.
    case direct
    /// Through a TURN server: by this relayed address of ours, or `nil` when only the peer uses a relay (which it says in
    /// its candidates).
    case relayed(by: TransportAddress?)

    /// Whether a TURN server of either side is on the way.
    public var isRelayed: Bool { self != .direct }
}

/// A data channel of one connection. Never used twice by the same connection, unlike stream identifiers.
public struct DataChannelHandle: Hashable, Sendable {
    let number: UInt64
}

/// What a connection tells its owner.
public enum PeerConnectionEvent: Equatable, Sendable {
    case stateChanged(PeerConnectionState)
    /// Messages may be sent: a channel of ours that the peer has accepted, or one that the peer has opened.
    case channelOpened(DataChannelHandle, DataChannelOptions, byPeer: Bool)
    case message(DataChannelHandle, DataChannelMessageKind, [UInt8])
    /// The bytes that wait to be sent fell to the channel's threshold.
    case bufferedAmountLow(DataChannelHandle)
    /// Nothing follows on this channel. It comes for every channel, also when the whole connection closes.
    case channelClosed(DataChannelHandle)
    /// Data goes to this address from now on, or by another relay of ours: see `PeerConnection.selectedPath`.
    case selectedAddress(TransportAddress)
    /// Authenticated STUN came from this address: for `DatagramRouter.addressValidated`.
    case addressValidated(TransportAddress)
}

/// Why a command was refused.
public enum PeerConnectionError: Error, Equatable, Sendable {
    /// The connection is closed.
    case closed
    /// An answer was handed in where an offer belongs, or the other way round.
    case wrongKind
    /// An answer without an outstanding offer of ours.
    case unexpectedAnswer
    /// The peer wants the DTLS role that this side has already.
    case roleConflict
    /// The channel is closed or was never ours.
    case unknownChannel
    /// Too many channels, or too many bytes before there is a connection.
    case limitReached
    /// OpenSSL could not make a session.
    case dtls(DTLSError)
    /// The data channel layer refused.
    case dataChannel(DataChannelError)
}
