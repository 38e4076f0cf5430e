import Glibc
public import NIOCore
public import SwarmBase

/// Tells when the host's addresses change: a cable pulled, another wireless network, a VPN up or down; and when only the way out did, or the
/// host has slept.
///
/// On Linux the kernel says when to look (rtnetlink). Beside that it looks every two seconds, which costs some tens of microseconds.
/// Confined to its event loop.
public final class LocalAddressWatcher {
    /// The addresses as they are now.
    public private(set) var addresses: [IPAddress]
    private let eventLoop: any EventLoop
    private let read: () -> [IPAddress]
    private let onChange: ([IPAddress]) -> Void
    private let onRouteChange: () -> Void
    private var task: RepeatedTask?
    private var socket: RouteSocket?
    private var isSettling = false
    /// Where packets leave from; empty where that is not watched.
    private var outgoing: [IPAddress] = []
    private let watchesRoutes: Bool
    private var timeAsleep = LocalAddressWatcher.timeAsleep

    /// Changes come in groups: an address goes, another comes, a route follows. So long they are waited for.
    private static let settlingTime = TimeAmount.milliseconds(30)

    /// Reads the addresses and watches from now on.
    ///
    /// - Parameters:
    ///   - interval: how often the interfaces are read, at least.
    ///   - read: what is read; a test hands in its own. `nil` is the system, which is listened to as well.
    ///   - onRouteChange: called on the event loop when the addresses are the same but packets leave from another one of them, or when the
    ///     host has slept.
    ///   - onChange: called on the event loop with the new addresses; a mere change of order is none.
    public init(
        eventLoop: any EventLoop, interval: Duration = .seconds(2), read: (() -> [IPAddress])? = nil,
        onRouteChange: @escaping () -> Void = {}, onChange: @escaping ([IPAddress]) -> Void
    ) {
        eventLoop.assertInEventLoop()
        self.eventLoop = eventLoop
        self.read = read ?? { LocalAddresses.current }
        self.onChange = onChange
        self.onRouteChange = onRouteChange
        watchesRoutes = read == nil
        addresses = self.read()
        if watchesRoutes { outgoing = OutgoingAddresses.current }
        let bound = NIOLoopBound(Weak(self), eventLoop: eventLoop)
        let period = TimeAmount(interval)
        task = eventLoop.scheduleRepeatedTask(initialDelay: period, delay: period) { task in
            guard let watcher = bound.value.watcher else { return task.cancel() }
            watcher.check()
        }
        if watchesRoutes {
            socket = RouteSocket(eventLoop: eventLoop) { [weak self] in self?.settle() }
        }
    }

    /// Reads the interfaces now, for instance after a send error.
    public func check() {
        eventLoop.assertInEventLoop()
        guard task != nil else { return }
        let found = read()
        let way = watchesRoutes ? OutgoingAddresses.current : []
        let hasSlept = Self.timeAsleep - timeAsleep > .seconds(1)
        timeAsleep = Self.timeAsleep
        if Set(found) != Set(addresses) {
            addresses = found
            outgoing = way
            onChange(found)
        } else if hasSlept || way != outgoing {
            outgoing = way
            // Without any way out there is nothing to do before there is one.
            if hasSlept || !way.isEmpty { onRouteChange() }
        }
    }

    /// Watches no longer.
    public func stop() {
        eventLoop.assertInEventLoop()
        task?.cancel()
        task = nil
        socket?.stop()
        socket = nil
    }

    private func settle() {
        guard !isSettling, task != nil else { return }
        isSettling = true
        eventLoop.assumeIsolated().scheduleTask(in: Self.settlingTime) { [weak self] () -> Void in
            guard let self else { return }
            self.isSettling = false
            self.check()
        }
    }

    /// How long the host has slept since it was started: what one clock counts and the other does not.
    private static var timeAsleep: Duration {
        var (withSleep, without) = (timespec(), timespec())
        unsafe clock_gettime(CLOCK_BOOTTIME, &withSleep)
        unsafe clock_gettime(CLOCK_MONOTONIC, &without)
        return .seconds(withSleep.tv_sec - without.tv_sec) + .nanoseconds(withSleep.tv_nsec - without.tv_nsec)
    }

    private struct Weak {
        weak var watcher: LocalAddressWatcher?
        init(_ watcher: LocalAddressWatcher) { self.watcher = watcher }
    }
}
