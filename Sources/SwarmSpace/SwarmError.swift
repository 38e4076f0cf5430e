/// Why a swarm could not be joined or a message not be taken.
public struct SwarmError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The kinds of failure; more may be added.
    public struct Code: Hashable, Sendable {
        let name: String

        /// The invite is neither a magnet link nor a name.
        public static let invalidInvite = Code(name: "invalidInvite")
        /// A URL or an address of the configuration cannot be used.
        public static let invalidConfiguration = Code(name: "invalidConfiguration")
        /// The identity or the kept state cannot be read or written.
        public static let storage = Code(name: "storage")
        /// The socket cannot be bound.
        public static let network = Code(name: "network")
        /// The message is too large, or too many wait for that member.
        public static let notSent = Code(name: "notSent")
        /// A value that cannot be in the shared state.
        public static let invalidValue = Code(name: "invalidValue")
        /// The swarm has been left.
        public static let left = Code(name: "left")
    }

    public var code: Code
    /// One line that says what is wrong and what to do.
    public var message: String

    /// Makes an error.
    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }

    static let hasLeft = SwarmError(.left, "the swarm has been left: join it anew")
}
