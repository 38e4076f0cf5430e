/// Why a command ends without having done its work: one line that says what is wrong and what to do.
struct CommandFailure: Error, Equatable {
    /// The exit statuses of the contract, by their names in `sysexits.h`.
    enum Status: Int32 {
        /// It ran, and what it was to show did not hold.
        case failed = 1
        /// What was asked for makes no sense.
        case usage = 64
        /// The network refuses.
        case unavailable = 69
        /// A file or directory cannot be used.
        case inputOutput = 74
    }

    var status: Status
    var message: String

    init(_ status: Status, _ message: String) {
        self.status = status
        self.message = message
    }
}
