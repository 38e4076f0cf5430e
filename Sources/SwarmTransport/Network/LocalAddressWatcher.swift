public import NIOCore
public import SwarmBase

/// Tells when the host's addresses change: a cable pulled, another wireless network, a VPN up or down.
///
/// It reads the interfaces every two seconds, which costs some tens of microseconds. Confined to its event loop.
public final class LocalAddressWatcher {
    /// The addresses as they are now.
    public private(set) var addresses: [IPAddress]
    private let eventLoop: any EventLoop
    private let read: () -> [IPAddress]
    private let onChange: ([IPAddress]) -> Void
    private var task: RepeatedTask?

    /// Reads the addresses and watches from now on.
    ///
    /// - Parameters:
    ///   - interval: how often the interfaces are read.
    ///   - read: what is read; a test hands in its own.
    ///   - onChange: called on the event loop with the new addresses; a mere change of order is none.
    public init(
        eventLoop: any EventLoop, interval: Duration = .seconds(2),
        read: @escaping () -> [IPAddress] = { LocalAddresses.current }, onChange: @escaping ([IPAddress]) -> Void
    ) {
        eventLoop.assertInEventLoop()
        self.eventLoop = eventLoop
        self.read = read
        self.onChange = onChange
        addresses = read()
        let bound = NIOLoopBound(Weak(self), eventLoop: eventLoop)
        let period = TimeAmount(interval)
        task = eventLoop.scheduleRepeatedTask(initialDelay: period, delay: period) { task in
            guard let watcher = bound.value.watcher else { return task.cancel() }
            watcher.check()
        }
    }

    /// Reads the interfaces now, for instance after a send error.
    public func check() {
        eventLoop.assertInEventLoop()
        guard task != nil else { return }
        let found = read()
        guard Set(found) != Set(addresses) else { return }
        addresses = found
        onChange(found)
    }

    /// Watches no longer.
    public func stop() {
        eventLoop.assertInEventLoop()
        task?.cancel()
        task = nil
    }

    private struct Weak {
        weak var watcher: LocalAddressWatcher?
        init(_ watcher: LocalAddressWatcher) { self.watcher = watcher }
    }
}
