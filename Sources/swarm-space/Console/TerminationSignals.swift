import Dispatch
import Glibc

/// SIGINT and SIGTERM as a call, so that the program can say goodbye to its peers.
final class TerminationSignals {
    private let sources: [any DispatchSourceSignal]

    /// Listens until the object goes away.
    init(onSignal: @escaping @Sendable () -> Void) {
        sources = [SIGINT, SIGTERM].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler(handler: onSignal)
            source.resume()
            return source
        }
    }

    deinit {
        for source in sources { source.cancel() }
    }
}
