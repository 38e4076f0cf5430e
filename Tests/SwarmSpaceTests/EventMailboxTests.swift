import SwarmEngine
import Synchronization
import Testing

@testable import SwarmSpace

@Suite struct EventMailboxTests {
    private final class Counter: Sendable {
        let count = Atomic<Int>(0)
    }

    private func mailbox(high: Int) -> (EventMailbox, Counter) {
        let counter = Counter()
        return (EventMailbox(high: high) { counter.count.add(1, ordering: .relaxed) }, counter)
    }

    private func event(_ number: Int) -> SwarmEvent { .warning("\(number)") }

    @Test func eventsComeInOrder() async {
        let (mailbox, _) = mailbox(high: 10)
        for number in 0..<5 { #expect(!mailbox.append(event(number))) }
        for number in 0..<5 { #expect(await mailbox.next(isolation: nil) == event(number)) }
        async let next = mailbox.next(isolation: nil)
        _ = mailbox.append(event(5))
        #expect(await next == event(5))
    }

    @Test func whoLagsIsWaitedFor() async {
        let (mailbox, counter) = mailbox(high: 10)
        for number in 0..<10 { #expect(!mailbox.append(event(number))) }
        #expect(mailbox.append(event(10)))
        for _ in 0..<5 { _ = await mailbox.next(isolation: nil) }
        // Six are unread: still more than half.
        #expect(mailbox.append(event(11)))
        #expect(counter.count.load(ordering: .relaxed) == 0)
        _ = await mailbox.next(isolation: nil)
        _ = await mailbox.next(isolation: nil)
        #expect(counter.count.load(ordering: .relaxed) == 1)
        #expect(!mailbox.append(event(12)))
    }

    @Test func theEndComesAfterWhatWasThere() async {
        let (mailbox, _) = mailbox(high: 10)
        _ = mailbox.append(event(0))
        mailbox.finish()
        _ = mailbox.append(event(1))
        #expect(await mailbox.next(isolation: nil) == event(0))
        #expect(await mailbox.next(isolation: nil) == nil)
        #expect(await mailbox.next(isolation: nil) == nil)
    }

    @Test func theEndWakesWhoWaits() async {
        let (mailbox, _) = mailbox(high: 10)
        await withTaskGroup(of: SwarmEvent?.self) { group in
            for _ in 0..<3 { group.addTask { await mailbox.next(isolation: nil) } }
            group.addTask {
                mailbox.finish()
                return nil
            }
            for await event in group { #expect(event == nil) }
        }
    }

    @Test func aCancelledReaderTakesNothing() async {
        let (mailbox, _) = mailbox(high: 10)
        let reader = Task { await mailbox.next(isolation: nil) }
        reader.cancel()
        #expect(await reader.value == nil)
        _ = mailbox.append(event(0))
        #expect(await mailbox.next(isolation: nil) == event(0))
    }

    @Test func whoReadsNothingLosesNoticesButNoMessages() async throws {
        let (mailbox, _) = mailbox(high: 10)
        let peer = try #require(PeerID("\(SampleIdentity.peerID)"))
        for number in 0..<EventMailbox.mostNotices { _ = mailbox.append(event(number)) }
        _ = mailbox.append(event(-1))
        let message = SwarmEvent.message(from: peer, .text("kept"), path: .relay, sequence: 1)
        _ = mailbox.append(message)
        for number in 0..<EventMailbox.mostNotices { #expect(await mailbox.next(isolation: nil) == event(number)) }
        #expect(await mailbox.next(isolation: nil) == message)
    }
}
