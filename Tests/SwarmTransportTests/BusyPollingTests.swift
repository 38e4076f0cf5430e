import NIOCore
import SwarmBase
import Testing

@testable import SwarmTransport

@Suite struct BusyPollingTests {
    /// A pause after each turn, the next turn `gap` later.
    private func polls(_ polling: inout BusyPolling, gaps: [Int64], datagrams: Int = 1) -> [Bool] {
        var now: Int64 = 1_000_000
        return gaps.map { gap in
            let polls = polling.pauseBegins(at: now, datagrams: datagrams)
            now += gap
            polling.turnBegan(at: now)
            return polls
        }
    }

    @Test func threeShortPausesAreTheProof() {
        var polling = BusyPolling(limit: 100)
        #expect(polls(&polling, gaps: [100, 100, 100, 100, 100]) == [false, false, false, true, true])
    }

    @Test func oneLongPauseEndsIt() {
        var polling = BusyPolling(limit: 100)
        #expect(
            polls(&polling, gaps: [10, 10, 10, 101, 10, 10, 10, 10])
                == [false, false, false, true, false, false, false, true])
    }

    @Test func neverUnderLoadNorWithoutALimit() {
        var polling = BusyPolling(limit: 100)
        #expect(polls(&polling, gaps: [10, 10, 10, 10, 10], datagrams: 5) == [false, false, false, false, false])
        var none = BusyPolling(limit: 0)
        #expect(polls(&none, gaps: [0, 0, 0, 0, 0]) == [false, false, false, false, false])
    }

    @Test func anInterruptIsTakenOnce() {
        let interrupt = PollingInterrupt()
        #expect(!interrupt.take())
        interrupt.raise()
        interrupt.raise()
        #expect(interrupt.take())
        #expect(!interrupt.take())
    }

    /// Two ports that answer each other at once: the datagrams come, and the sockets are polled for them; but not when the
    /// owner does not call it a conversation.
    @Test(arguments: [true, false]) func aConversation(isConversing: Bool) async throws {
        let (first, second) = (nextLoop(), nextLoop())
        let ends = [
            NIOLoopBoundBox<UDPPort?>.makeEmptyBox(valueType: UDPPort.self, eventLoop: first),
            NIOLoopBoundBox<UDPPort?>.makeEmptyBox(valueType: UDPPort.self, eventLoop: second),
        ]
        let rounds = Observed<UInt8>(first)
        var addresses: [TransportAddress] = []
        for (number, end) in ends.enumerated() {
            addresses.append(
                try await on(end.eventLoop) {
                    var configuration = UDPPortConfiguration(host: IPAddress("127.0.0.1"))
                    configuration.busyPollingLimit = .milliseconds(200)
                    let port = UDPPort(eventLoop: end.eventLoop, configuration: configuration)
                    end.value = port
                    port.onDatagram = { bytes, source in
                        if number == 0 { rounds.add(bytes[0]) }
                        guard number == 1 || bytes[0] < 200 else { return }
                        end.value?.isConversing = isConversing
                        end.value?.send(Transmit(to: source, payload: [number == 0 ? bytes[0] + 1 : bytes[0]]))
                    }
                    port.onReadComplete = { end.value?.flush() }
                    return port.bind()
                })
        }
        let destination = addresses[1]
        try await on(first) {
            ends[0].value?.send(Transmit(to: destination, payload: [0]))
            ends[0].value?.flush()
        }
        #expect(try await rounds.wait(count: 201) == Array(0...200))
        for end in ends {
            let counters = try #require(try await on(end.eventLoop) { end.value?.counters })
            #expect((counters.datagramsPolled > 0) == isConversing, "\(counters)")
            try await on(end.eventLoop) {
                defer { end.value = nil }
                return end.value?.close() ?? end.eventLoop.makeSucceededVoidFuture()
            }
        }
    }
}
