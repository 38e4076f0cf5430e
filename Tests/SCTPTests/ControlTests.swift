import Crypto
import SwarmBase
import Testing

@testable import SCTP

@Suite struct RoundTripEstimatorTests {
    @Test func followsTheRFC() {
        var estimator = RoundTripEstimator(SCTPConfiguration())
        #expect(estimator.timeout == .milliseconds(500) && estimator.smoothed == nil)
        estimator.measure(400 * .millisecond)
        // SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 RTTVAR.
        #expect(estimator.smoothed == .milliseconds(400) && estimator.timeout == .milliseconds(1200))
        estimator.measure(400 * .millisecond)
        #expect(estimator.timeout == .milliseconds(1000))
        estimator.measure(800 * .millisecond)
        #expect(estimator.smoothed == .milliseconds(450) && estimator.shortest == .milliseconds(400))
    }

    @Test func bounds() {
        var estimator = RoundTripEstimator(SCTPConfiguration())
        estimator.measure(100_000)
        #expect(estimator.timeout == .milliseconds(220))
        for _ in 0..<20 { estimator.backOff() }
        #expect(estimator.timeout == .seconds(10))
        estimator.endBackoff()
        #expect(estimator.timeout == .milliseconds(220))
        estimator.measure(3600 * .second)
        #expect(estimator.timeout == .seconds(10))
        estimator.reset()
        #expect(estimator.timeout == .milliseconds(500) && estimator.smoothed == nil)
    }
}

@Suite struct PacerTests {
    @Test func burstThenRate() {
        var pacer = Pacer(SCTPConfiguration())
        var now = Instant.zero
        var sent = 0
        while pacer.delay(now: now, rate: 1_188_000) == nil, sent < 100 {
            pacer.sent(1188)
            sent += 1
        }
        #expect((10...11).contains(sent))
        // 1,000 packets a second: in the next second about so many.
        let end = now + .seconds(1)
        while now < end {
            if let moment = pacer.delay(now: now, rate: 1_188_000) {
                #expect(moment > now)
                now = moment
            } else {
                pacer.sent(1188)
                sent += 1
            }
        }
        #expect((980...1030).contains(sent))
    }
}

@Suite struct TimerTableTests {
    @Test func firesOnceAndInOrder() {
        var timers = TimerTable()
        #expect(timers.next == nil)
        timers[.delayedSack] = Instant(nanoseconds: 5)
        timers[.handshake] = Instant(nanoseconds: 3)
        #expect(timers.next == Instant(nanoseconds: 3))
        expectTrue(!timers.fires(.handshake, at: Instant(nanoseconds: 2)))
        let fired = timers.fires(.handshake, at: Instant(nanoseconds: 3))
        #expect(fired)
        let again = timers.fires(.handshake, at: Instant(nanoseconds: 3))
        #expect(!again)
        timers.stopAll()
        #expect(timers.next == nil)
    }
}

@Suite struct StateCookieTests {
    private let key = SymmetricKey(data: [UInt8](repeating: 7, count: 32))
    private let cookie = StateCookie(
        created: Instant(nanoseconds: 5), localTag: 1,
        peer: PeerParameters(
            tag: 2, initialTSN: 3, window: 4, outboundStreams: 5, inboundStreams: 6, supportsForwardTSN: true,
            supportsReconfiguration: false))

    @Test func roundTripAndAge() throws {
        let sealed = cookie.sealed(key: key)
        let life = Duration.seconds(60)
        let limit = cookie.created + life
        #expect(try StateCookie.open(sealed, key: key, lifetime: life, now: limit) == cookie)
        #expect(throws: StateCookie.Refusal.stale(by: .nanoseconds(1))) {
            try StateCookie.open(sealed, key: key, lifetime: life, now: limit + .nanoseconds(1))
        }
    }

    @Test func anyChangeIsForgery() {
        let sealed = cookie.sealed(key: key)
        for index in sealed.indices {
            var forged = sealed
            forged[index] ^= 0x10
            #expect(throws: StateCookie.Refusal.forged) {
                try StateCookie.open(forged, key: key, lifetime: .seconds(60), now: .zero)
            }
        }
        #expect(throws: StateCookie.Refusal.forged) {
            try StateCookie.open(Array(sealed.dropLast()), key: key, lifetime: .seconds(60), now: .zero)
        }
    }
}

@Suite struct StreamResetTests {
    @Test func oneRequestAtATime() throws {
        var reset = StreamReset(localInitialTSN: .max)
        reset.enqueue([1, 2, 1])
        reset.begin(lastTSN: 9) { $0 == 2 }
        #expect(reset.current == .init(number: .max, lastTSN: 9, streams: [2]))
        reset.enqueue([2, 3])
        reset.begin(lastTSN: 10) { _ in true }
        #expect(reset.current?.streams == [2])
        #expect(reset.finish(number: 5, result: .performed) == nil)
        #expect(reset.finish(number: .max, result: .inProgress) == nil)
        #expect(reset.current != nil)
        #expect(reset.finish(number: .max, result: .performed)?.streams == [2])
        reset.begin(lastTSN: 10) { _ in true }
        // The number wraps; what waited is merged into one request.
        #expect(reset.current == .init(number: 0, lastTSN: 10, streams: [1, 3]))
    }

    @Test func thePeersRequests() {
        var reset = StreamReset(localInitialTSN: 1)
        reset.expect(.max)
        let base = TSN(initial: 100)
        #expect(
            reset.judge(number: 5, lastTSN: base, streams: [1], cumulative: base) == .answer(.badSequenceNumber))
        #expect(
            reset.judge(number: .max, lastTSN: base + 1, streams: [1], cumulative: base) == .answer(.inProgress))
        // Repeated: the same answer, until the data is there.
        #expect(
            reset.judge(number: .max, lastTSN: base + 1, streams: [1], cumulative: base) == .answer(.inProgress))
        #expect(reset.takeDeferred(cumulative: base) == nil)
        #expect(reset.takeDeferred(cumulative: base + 1)?.streams == [1])
        #expect(reset.takeDeferred(cumulative: base + 1) == nil)
        #expect(
            reset.judge(number: .max, lastTSN: base + 1, streams: [1], cumulative: base) == .answer(.performed))
        #expect(reset.judge(number: 0, lastTSN: base, streams: nil, cumulative: base) == .perform)
        #expect(reset.deny(number: 1) == .denied)
        #expect(reset.deny(number: 1) == .denied)
        #expect(reset.deny(number: 7) == .badSequenceNumber)
    }
}
