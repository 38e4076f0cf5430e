import NIOCore
import NIOEmbedded
import SwarmBase
import Testing

@testable import SwarmTransport

@Suite struct LocalAddressesTests {
    private func entry(
        _ interface: String, _ address: String, running: Bool = true, loopback: Bool = false
    ) throws -> InterfaceAddress {
        InterfaceAddress(
            interface: interface, address: try #require(IPAddress(address)), isRunning: running, isLoopback: loopback)
    }

    private func candidates(_ entries: [InterfaceAddress]) -> [String] {
        LocalAddresses.candidates(among: entries).map(\.description)
    }

    @Test func realInterfacesCountAndTheRestDoesNot() throws {
        let all = [
            try entry("lo", "127.0.0.1", loopback: true), try entry("lo", "::1", loopback: true),
            try entry("eth0", "192.0.2.7"), try entry("eth0", "2001:db8::7"), try entry("eth0", "fe80::7"),
            try entry("eth1", "198.51.100.1", running: false), try entry("docker0", "172.17.0.1"),
            try entry("br-0123456789ab", "172.18.0.1"), try entry("br-lan", "10.0.0.1"),
            try entry("wlan0", "192.0.2.7"), try entry("usb0", "169.254.3.4"),
        ]
        // The administrator's own bridge stays, and IPv4 link-local may be all that two cabled hosts have.
        #expect(candidates(all) == ["192.0.2.7", "2001:db8::7", "10.0.0.1", "169.254.3.4"])
    }

    @Test func whatIsThereIsTakenWhenNothingBetterIs() throws {
        let lo = try entry("lo", "127.0.0.1", loopback: true)
        let bridge = try entry("docker0", "172.17.0.1")
        #expect(candidates([lo, bridge]) == ["172.17.0.1"])
        #expect(candidates([lo]) == ["127.0.0.1"])
        #expect(candidates([]) == [])
    }

    @Test func theNumberIsBounded() throws {
        let many = try (0..<40).map { try entry("eth\($0)", "10.0.0.\($0)") }
        #expect(LocalAddresses.candidates(among: many).count == LocalAddresses.limit)
    }

    @Test func thisHostHasLoopback() {
        let all = LocalAddresses.interfaceAddresses()
        #expect(all.contains { $0.isLoopback && $0.address.description == "127.0.0.1" })
        #expect(!LocalAddresses.current.isEmpty)
    }

    @Test func theWatcherTellsChangesOnly() {
        let loop = EmbeddedEventLoop()
        var now: [IPAddress] = [.v4(1), .v4(2)]
        var told: [[IPAddress]] = []
        let watcher = LocalAddressWatcher(eventLoop: loop, read: { now }, onChange: { told.append($0) })
        loop.advanceTime(by: .seconds(10))
        now = [.v4(2), .v4(1)]
        loop.advanceTime(by: .seconds(2))
        #expect(told.isEmpty)
        now = [.v4(2), .v4(3)]
        loop.advanceTime(by: .milliseconds(1999))
        #expect(told.isEmpty)
        loop.advanceTime(by: .milliseconds(1))
        #expect(told == [[.v4(2), .v4(3)]])
        watcher.stop()
        now = []
        watcher.check()
        loop.advanceTime(by: .seconds(10))
        #expect(told.count == 1)
    }
}

@Suite struct LoopTimerTests {
    @Test func firesAtTheDeadlineWhateverItWasBefore() {
        let loop = EmbeddedEventLoop()
        var fired: [Int64] = []
        let timer = LoopTimer(eventLoop: loop) { fired.append(Instant(loop.now).nanoseconds / 1_000_000) }
        func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }
        timer.schedule(at: at(10))
        timer.schedule(at: at(30))
        loop.advanceTime(by: .milliseconds(29))
        #expect(fired.isEmpty)
        loop.advanceTime(by: .milliseconds(1))
        #expect(fired == [30])
        timer.schedule(at: at(100))
        timer.schedule(at: at(50))
        loop.advanceTime(by: .milliseconds(20))
        #expect(fired == [30, 50])
        timer.schedule(at: at(60))
        timer.schedule(at: nil)
        loop.advanceTime(by: .milliseconds(100))
        #expect(fired == [30, 50])
        // A deadline that has passed fires with the next turn.
        timer.schedule(at: at(1))
        loop.advanceTime(by: .zero)
        #expect(fired.count == 3)
        timer.schedule(at: at(200))
        timer.cancel()
        loop.advanceTime(by: .milliseconds(100))
        #expect(fired.count == 3)
    }

    @Test func wallAndMonotonicClocksAdvance() {
        let before = MonotonicClock.now
        #expect(MonotonicClock.now >= before)
        // Later than 2024, earlier than 2200, in milliseconds.
        #expect((1.7e12...7.3e12).contains(MonotonicClock.wallMilliseconds))
        #expect(NIODeadline(Instant(nanoseconds: -5)) == .uptimeNanoseconds(0))
        #expect(Instant(.uptimeNanoseconds(.max)) == .distantFuture)
    }
}
