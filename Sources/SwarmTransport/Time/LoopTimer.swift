public import NIOCore
public import SwarmBase

/// One scheduled callback for a core's `nextTimeout`.
///
/// A core's deadline moves with nearly every packet, mostly to a later moment. Scheduling costs, so a callback that is
/// armed for an earlier moment than wanted is left armed; when it fires too early it is armed once more.
///
/// Confined to its event loop: every method must be called there.
public final class LoopTimer {
    private let eventLoop: any EventLoop
    private let onFire: () -> Void
    private var deadline: Instant?
    private var armed: (callback: NIOScheduledCallback, at: Instant)?
    private let bell = Bell()

    /// What the event loop holds while the timer is armed. It does not keep the timer.
    private final class Bell: NIOScheduledCallbackHandler {
        weak var timer: LoopTimer?

        func handleScheduledCallback(eventLoop: some EventLoop) { timer?.fire() }
    }

    /// Makes a timer that is not armed.
    ///
    /// - Parameter onFire: called on the event loop at or after the deadline, once for each ``schedule(at:)``.
    public init(eventLoop: any EventLoop, onFire: @escaping () -> Void) {
        self.eventLoop = eventLoop
        self.onFire = onFire
        bell.timer = self
    }

    /// Sets the only deadline; `nil` means that nothing is awaited.
    public func schedule(at deadline: Instant?) {
        eventLoop.assertInEventLoop()
        self.deadline = deadline
        guard let deadline else { return }
        if let armed {
            if armed.at <= deadline { return }
            armed.callback.cancel()
        }
        arm(at: deadline)
    }

    /// Cancels the deadline and the callback; the timer lets go of everything.
    public func cancel() {
        eventLoop.assertInEventLoop()
        deadline = nil
        armed?.callback.cancel()
        armed = nil
    }

    private func arm(at deadline: Instant) {
        // Refused only by a loop that has ended, and then nothing is awaited any more.
        let callback = try? eventLoop.assumeIsolated().scheduleCallback(at: NIODeadline(deadline), handler: bell)
        armed = callback.map { ($0, deadline) }
    }

    private func fire() {
        armed = nil
        guard let deadline else { return }
        guard Instant(eventLoop.now) >= deadline else {
            arm(at: deadline)
            return
        }
        self.deadline = nil
        onFire()
    }
}
