import Dispatch

/// Instructions on their way from the thread that reads them to the session that carries them out: one at a time, so that
/// what is read faster than it can be sent stays in the pipe.
final class PairInstructions: AsyncSequence, Sendable {
    private let stream: AsyncStream<PairInstruction>
    private let continuation: AsyncStream<PairInstruction>.Continuation
    private let turn = DispatchSemaphore(value: 0)

    init() { (stream, continuation) = AsyncStream.makeStream() }

    /// Hands over an instruction, and waits until it has been carried out. Not for threads that must not wait.
    func add(_ instruction: PairInstruction) {
        if case .enqueued = continuation.yield(instruction) { turn.wait() }
    }

    /// The last instruction has been carried out.
    func done() { turn.signal() }

    /// No more will be.
    func finish() {
        continuation.finish()
        turn.signal()
    }

    func makeAsyncIterator() -> AsyncStream<PairInstruction>.Iterator { stream.makeAsyncIterator() }
}
