import SwarmBase
import Testing

@testable import SwarmEngine

@Suite struct NegotiationTests {
    private let a = ConnectionID(value: 1)
    private let b = ConnectionID(value: 2)
    private let later = Instant.zero + .seconds(20)

    @Test func theDeciderIgnoresDirectedOffers() {
        let decider = Negotiation(decides: true, now: .zero)
        #expect(decider.verdict(onOffer: a, attempt: 5) == .ignore)
        #expect(decider.mayOffer == .zero)
        #expect(Negotiation(decides: false, now: .zero).mayOffer == nil)
    }

    @Test func theOtherFollowsTheHighestAttempt() {
        var other = Negotiation(decides: false, now: .zero)
        #expect(other.verdict(onOffer: a, attempt: 5) == .answer)
        other.answered(a, attempt: 5, deadline: later)
        #expect(other.verdict(onOffer: a, attempt: 5) == .repeatAnswer)
        #expect(other.verdict(onOffer: b, attempt: 5) == .ignore)
        #expect(other.verdict(onOffer: b, attempt: 4) == .ignore)
        #expect(other.verdict(onOffer: b, attempt: 6) == .answer)
        other.opened(a)
        #expect(other.verdict(onOffer: a, attempt: 6) == .restart)
        other.answered(a, attempt: 6, deadline: later)
        #expect(other.phase == .connected, "a restart leaves the channel open")
    }

    @Test func aConnectionGivenUpIsNotRestarted() {
        var other = Negotiation(decides: false, now: .zero)
        other.answered(a, attempt: 5, deadline: later)
        other.opened(a)
        other.ended(now: .zero, jitter: 0)
        #expect(other.verdict(onOffer: a, attempt: 5) == .ignore, "a late copy of its first offer")
        #expect(other.verdict(onOffer: a, attempt: 6) == .gone)
        #expect(other.verdict(onOffer: b, attempt: 7) == .answer)
    }

    @Test func anAnswerCountsOnce() {
        var decider = Negotiation(decides: true, now: .zero)
        decider.offered(a, wall: 100, deadline: later)
        #expect(decider.takesAnswer(b, attempt: 100, toOpenOffer: false, deadline: later) == false)
        #expect(decider.takesAnswer(a, attempt: 99, toOpenOffer: false, deadline: later) == false)
        #expect(decider.takesAnswer(a, attempt: 100, toOpenOffer: false, deadline: later) == true)
        #expect(decider.takesAnswer(a, attempt: 100, toOpenOffer: false, deadline: later) == false)
        decider.opened(a)
        decider.restarted(wall: 50)
        #expect(decider.attempt == 101, "attempts grow also when the clock steps back")
        #expect(decider.takesAnswer(a, attempt: 101, toOpenOffer: false, deadline: later) == true)
        #expect(decider.isRestarting == false)
    }

    @Test func openOffersYieldToWhatIsUnderWay() {
        var decider = Negotiation(decides: true, now: .zero)
        #expect(decider.takesOpenOffer == true)
        decider.offered(a, wall: 100, deadline: later)
        #expect(decider.takesOpenOffer == false)
        #expect(decider.takesAnswer(b, attempt: 0, toOpenOffer: true, deadline: later) == false)
        var other = Negotiation(decides: false, now: .zero)
        other.answered(a, attempt: 100, deadline: later)
        #expect(other.takesAnswer(b, attempt: 101, toOpenOffer: true, deadline: later) == true, "the decider chose it")
        #expect(other.connection == b)
    }

    /// The attempt in an answer to an open offer is the other side's word: it must not move the decider's count.
    @Test func aHostileAttemptDoesNotCountForTheDecider() {
        var decider = Negotiation(decides: true, now: .zero)
        #expect(decider.takesAnswer(b, attempt: .max, toOpenOffer: true, deadline: later) == true)
        decider.restarted(wall: 5)
        #expect(decider.attempt == 5)
        decider.ended(now: .zero, jitter: 1)
        decider.offered(a, wall: 6, deadline: later)
        #expect(decider.attempt == 6)
    }

    @Test func failuresWaitEverLonger() throws {
        var decider = Negotiation(decides: true, now: .zero)
        var last = Duration.zero
        for _ in 0..<12 {
            decider.offered(a, wall: 1, deadline: later)
            decider.ended(now: .zero, jitter: 1)
            let wait: Duration = try #require(decider.mayOffer) - Instant.zero
            #expect(wait >= last && wait <= .seconds(30))
            last = wait
        }
        #expect(last == .seconds(30))
        decider.offered(a, wall: 1, deadline: later)
        decider.opened(a)
        decider.ended(now: .zero, jitter: 1)
        #expect(decider.mayOffer == .zero + .milliseconds(500), "what once worked is tried again soon")
    }
}

@Suite struct RedialTests {
    @Test func theFirstRetryIsWithinAQuarterSecond() throws {
        var entropy = Entropy.seed(1)
        for _ in 0..<100 {
            var redial = Redial(now: .zero)
            #expect(redial.dialAt == .zero)
            redial.dialing()
            redial.opened(now: .zero)
            redial.closed(now: .zero + .seconds(60), entropy: &entropy)
            let wait: Duration = try #require(redial.dialAt) - (Instant.zero + .seconds(60))
            #expect(wait > .zero && wait <= .milliseconds(250))
        }
    }

    @Test func waitsGrowToABoundAndHurryEndsThem() throws {
        var entropy = Entropy.seed(2)
        var redial = Redial(now: .zero)
        var now = Instant.zero
        var longest = (brisk: Duration.zero, later: Duration.zero)
        while now < .zero + .seconds(300) {
            redial.closed(now: now, entropy: &entropy)
            let next = try #require(redial.dialAt)
            let isBrisk = now < .zero + Redial.restartTime
            if isBrisk { longest.brisk = max(longest.brisk, next - now) }
            if !isBrisk { longest.later = max(longest.later, next - now) }
            now = next
            redial.dialing()
        }
        #expect(longest.brisk > .milliseconds(500) && longest.brisk <= .seconds(1))
        #expect(longest.later > .seconds(7) && longest.later <= .seconds(15))
        redial.closed(now: now, entropy: &entropy)
        redial.hurry(now: now)
        #expect(redial.dialAt == now)
    }
}

@Suite struct RelaySlotsTests {
    @Test func slotsGoRoundAndStatesGrow() {
        var slots = RelaySlots()
        var last = -1.0
        var seen: Set<Int> = []
        for step in 0..<200 {
            // The wall clock steps back in the middle.
            let (slot, state) = slots.take(now: .zero, wall: step < 100 ? 1_000_000 : 900_000)
            #expect(state > last)
            last = state
            seen.insert(slot)
        }
        #expect(seen.count == RelaySlots.count)
        #expect(slots.clearAt == .zero + .seconds(10))
        let cleared = slots.clear(wall: 1_000_000)
        #expect(cleared?.slots.count == RelaySlots.count)
        #expect(cleared?.state ?? 0 > last)
        #expect(slots.clearAt == nil)
        #expect(slots.clear(wall: 1_000_000) == nil, "nothing is left to be cleared")
    }
}
