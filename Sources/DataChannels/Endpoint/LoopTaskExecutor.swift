import NIOCore
import SwarmTransport

/// Runs tasks on an event loop.
final class LoopTaskExecutor: TaskExecutor {
    private let eventLoop: any EventLoop
    private let pollingInterrupt: PollingInterrupt

    init(_ eventLoop: any EventLoop, pollingInterrupt: PollingInterrupt) {
        self.eventLoop = eventLoop
        self.pollingInterrupt = pollingInterrupt
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        pollingInterrupt.raise()
        eventLoop.execute { unsafe job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
