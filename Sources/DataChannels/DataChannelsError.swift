/// Why something could not be done.
public enum DataChannelsError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The configuration makes no sense; the text says which part.
    case invalidConfiguration(String)
    /// The UDP port cannot be had; the text says why.
    case cannotBind(String)
    /// OpenSSL cannot make a certificate.
    case cannotMakeCertificate(String)
    /// The endpoint, the connection or the channel is closed, or was closed meanwhile.
    case closed
    /// The task was cancelled; a message that it wanted to send was not sent.
    case cancelled
    /// This is no description, or one that cannot be used; the text says why.
    case invalidDescription(String)
    /// An answer was given where an offer belongs or the other way round, or no offer is outstanding.
    case wrongDescription
    /// Too many connections or channels.
    case limitReached
    /// The message is longer than the peer takes.
    case messageTooLarge(limit: Int)
    /// The channel cannot be opened: its number is in use, or its label or protocol is too long.
    case cannotOpenChannel(String)

    public var description: String {
        switch self {
        case .invalidConfiguration(let text): "the configuration makes no sense: \(text)"
        case .cannotBind(let text): text
        case .cannotMakeCertificate(let text): "no certificate can be made: \(text)"
        case .closed: "it is closed"
        case .cancelled: "the task was cancelled"
        case .invalidDescription(let text): "this description cannot be used: \(text)"
        case .wrongDescription: "this is not the time for such a description"
        case .limitReached: "there are too many already"
        case .messageTooLarge(let limit): "the message is longer than the \(limit) bytes that the peer takes"
        case .cannotOpenChannel(let text): "the channel cannot be opened: \(text)"
        }
    }
}
