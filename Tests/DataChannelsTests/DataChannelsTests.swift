import SwarmBase
import Testing

@testable import DataChannels

@Suite struct DataChannelsTests {
    @Test func messagesPassBothWays() async throws {
        try await within {
            let (pair, here, there) = try await Pair.withChannel(
                DataChannelOptions(protocol: "talk", isOrdered: false, reliability: .maxRetransmits(3)))
            #expect(there.label == "main")
            #expect(
                there.options == DataChannelOptions(protocol: "talk", isOrdered: false, reliability: .maxRetransmits(3))
            )
            try await here.opened()
            #expect(here.id == there.id)
            #expect(here.readyState == .open)
            #expect(there.readyState == .open)
            let large = (0..<262_144).map { UInt8(truncatingIfNeeded: $0 * 31) }
            for message in [
                DataChannelMessage.text("grüß dich"), .binary([0, 255]), .text(""), .binary([]), .binary(large),
            ] {
                try await here.send(message)
                var received = there.messages.makeAsyncIterator()
                #expect(await received.next() == message)
                try await there.send(message)
                var back = here.messages.makeAsyncIterator()
                #expect(await back.next() == message)
            }
            #expect(await pair.here.state == .connected)
            await pair.close()
        }
    }

    @Test func tenThousandComeInOrder() async throws {
        try await within(.seconds(60)) {
            let (pair, here, there) = try await Pair.withChannel()
            let sender = Task {
                for number in 0..<10_000 { try await here.send("\(number)") }
            }
            var next = 0
            for await message in there.messages {
                #expect(message == .text("\(next)"))
                next += 1
                if next == 10_000 { break }
            }
            try await sender.value
            #expect(next == 10_000)
            await pair.close()
        }
    }

    @Test func whatWasSentBeforeTheConnectionArrives() async throws {
        try await within {
            let pair = try await Pair.make()
            let here = try await pair.here.openChannel("early")
            // More than the core keeps before it knows the peer.
            for number in 0..<300 {
                try await here.send([UInt8](repeating: UInt8(number & 255), count: 10_000));
                if here.bufferedAmount > 900_000 { break }
            }
            let count = here.bufferedAmount / 10_000
            #expect(count > 80)
            try await pair.negotiate()
            let there = try #require(await pair.there.channels.first { _ in true })
            var received = there.messages.makeAsyncIterator()
            for number in 0..<count {
                #expect(await received.next() == .binary([UInt8](repeating: UInt8(number & 255), count: 10_000)))
            }
            await pair.close()
        }
    }

    /// A reader that does not read stops the sender, however much it wants to send; nothing is lost.
    @Test func aSlowReaderHoldsTheSenderBack() async throws {
        try await within(.seconds(60)) {
            let (pair, here, there) = try await Pair.withChannel {
                $0.mostUnreadBytes = 100_000; $0.highWaterMark = 100_000
            }
            let total = 20_000_000
            let message = [UInt8](repeating: 7, count: 50_000)
            let sent = Counter()
            let sender = Task {
                for _ in 0..<total / message.count {
                    try await here.send(message)
                    sent.add(message.count)
                }
            }
            // It comes to rest long before the end: windows and marks are full.
            var before = -1
            while sent.value != before || before == 0 {
                before = sent.value
                try await Task.sleep(for: .milliseconds(300))
            }
            #expect(before < 12_000_000)
            var read = 0
            for await message in there.messages {
                read += message.byteCount
                if read == total { break }
            }
            try await sender.value
            #expect(read == total)
            await pair.close()
        }
    }

    @Test(arguments: [true, false])
    func closingAChannelEndsItOnBothSides(isOpener: Bool) async throws {
        try await within {
            let (pair, here, there) = try await Pair.withChannel()
            let (closing, other) = isOpener ? (here, there) : (there, here)
            // The last words are heard.
            try await closing.send("bye")
            closing.close()
            #expect(closing.readyState == .closing || closing.readyState == .closed)
            await #expect(throws: DataChannelsError.closed) { try await closing.send("more") }
            var received: [DataChannelMessage] = []
            for await message in other.messages { received.append(message) }
            #expect(received == [.text("bye")])
            await other.closed()
            await closing.closed()
            #expect(other.readyState == .closed)
            // The connection lives on.
            let next = try await pair.there.openChannel("next")
            try await next.opened()
            await pair.close()
        }
    }

    @Test(arguments: [true, false])
    func closingTheConnectionEndsBothSides(isOfferer: Bool) async throws {
        try await within {
            let (pair, here, there) = try await Pair.withChannel()
            let (closing, other) = isOfferer ? (pair.here, pair.there) : (pair.there, pair.here)
            let (left, right) = isOfferer ? (here, there) : (there, here)
            try await left.send("last")
            await closing.close(lingering: true)
            #expect(await closing.state == .closed)
            var received: [DataChannelMessage] = []
            for await message in right.messages { received.append(message) }
            #expect(received == [.text("last")])
            var last: ConnectionState?
            for await state in other.states { last = state }
            #expect(last == .closed)
            #expect(await other.closeReason == "the peer has closed it")
            #expect(await closing.closeReason == "it was closed here")
            #expect(await pair.here.endpoint.connectionCount == 0)
            await #expect(throws: DataChannelsError.closed) { try await closing.openChannel("late") }
            await pair.close()
        }
    }

    @Test func statesAreToldInOrder() async throws {
        try await within {
            let (pair, here, _) = try await Pair.withChannel()
            try await here.opened()
            let states = Task { await pair.here.states.reduce(into: []) { $0.append($1) } }
            await pair.here.close()
            #expect(await states.value == [.connecting, .connected, .closed])
            await pair.close()
        }
    }

    @Test func aRestartKeepsTheChannels() async throws {
        try await within {
            let (pair, here, there) = try await Pair.withChannel()
            let before = try #require(await pair.here.localDescription)
            let sender = Task { for number in 0..<2000 { try await here.send("\(number)") } }
            var received = there.messages.makeAsyncIterator()
            for number in 0..<500 { #expect(await received.next() == .text("\(number)")) }
            let offer = try await pair.here.restartICE()
            #expect(offer.sdp != before.sdp)
            try await pair.here.accept(answer: try await pair.there.accept(offer: offer))
            for number in 500..<2000 { #expect(await received.next() == .text("\(number)")) }
            try await sender.value
            #expect(await pair.here.state == .connected)
            await pair.close()
        }
    }

    @Test func handlersAnswerOnTheLoop() async throws {
        try await within {
            let (pair, here, there) = try await Pair.withChannel()
            let lost = Counter()
            there.onMessages { messages in
                for message in messages where (try? there.trySend(message)) != true { lost.add(1) }
            }
            var received = here.messages.makeAsyncIterator()
            for number in 0..<1000 {
                try await here.send("\(number)")
                #expect(await received.next() == .text("\(number)"))
            }
            #expect(lost.value == 0)
            await pair.close()
        }
    }

    @Test func tasksMayRunOnTheLoop() async throws {
        try await within {
            let (pair, here, there) = try await Pair.withChannel()
            let echo = Task(executorPreference: pair.there.endpoint.taskExecutor) {
                for await message in there.messages { try await there.send(message) }
            }
            var received = here.messages.makeAsyncIterator()
            for number in 0..<1000 {
                try await here.send("\(number)")
                #expect(await received.next() == .text("\(number)"))
            }
            await pair.close()
            _ = await echo.result
        }
    }

    @Test func aCancelledReaderAndSenderReturn() async throws {
        try await within {
            let (pair, here, there) = try await Pair.withChannel {
                $0.highWaterMark = 1000; $0.mostUnreadBytes = 1000
            }
            let reader = Task { () -> Int in
                var count = 0
                for await _ in here.messages { count += 1 }
                return count
            }
            let sender = Task { while true { try await here.send([UInt8](repeating: 1, count: 10_000)) } }
            // It waits for room sooner or later, as nobody reads.
            while here.bufferedAmount <= 1000 { await Task.yield() }
            reader.cancel()
            sender.cancel()
            #expect(await reader.value == 0)
            await #expect(throws: DataChannelsError.cancelled) { try await sender.value }
            // Both may go on in other tasks.
            try await there.send("again")
            var received = here.messages.makeAsyncIterator()
            #expect(await received.next() == .text("again"))
            await pair.close()
        }
    }

    @Test func aClosedEndpointEndsWhatIsRead() async throws {
        try await within {
            let (pair, here, there) = try await Pair.withChannel()
            let readers = [
                Task { for await _ in here.messages {} },
                Task { for await _ in pair.here.states {} },
                Task { for await _ in pair.here.channels {} },
                Task { for await _ in pair.here.candidates {} },
                Task { for await _ in pair.here.endpoint.events {} },
                Task { await here.closed() },
                // The other side hears of it.
                Task { for await _ in there.messages {} },
                Task { await there.closed() },
            ]
            await pair.here.endpoint.close()
            for reader in readers { await reader.value }
            #expect(here.readyState == .closed)
            await #expect(throws: DataChannelsError.closed) { try await pair.here.endpoint.connect() }
            await pair.here.endpoint.close()
            await pair.close()
        }
    }

    @Test func twoHundredConnectionsShareAPort() async throws {
        try await within(.seconds(120)) {
            var configuration = EndpointConfiguration()
            configuration.host = "127.0.0.1"
            configuration.certificate = try EndpointCertificate()
            let server = try await Endpoint.open(configuration)
            let shared = configuration
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        let client = try await Endpoint.open(shared)
                        let (here, there) = (try await client.connect(), try await server.connect())
                        let channel = try await here.openChannel("number \(number)")
                        let answer = try await there.accept(offer: try await here.createOffer())
                        try await here.accept(answer: answer)
                        let incoming = try #require(await there.channels.first { _ in true })
                        #expect(incoming.label == "number \(number)")
                        try await channel.send("\(number)")
                        var received = incoming.messages.makeAsyncIterator()
                        #expect(await received.next() == .text("\(number)"))
                        if number.isMultiple(of: 2) { await here.close() } else { await there.close() }
                        for await _ in here.states {}
                        for await _ in there.states {}
                        await client.close()
                    }
                }
                try await group.waitForAll()
            }
            #expect(await server.connectionCount == 0)
            await server.close()
        }
    }

    @Test func whoeverLetsGoHasClosed() async throws {
        try await within {
            let (pair, there) = try await { () async throws -> (PeerConnection, DataChannel) in
                let (pair, here, there) = try await Pair.withChannel()
                try await here.opened()
                return (pair.there, there)
            }()
            // The other endpoint, its connection and its channel are gone.
            for await _ in there.messages {}
            await there.closed()
            await pair.endpoint.close()
        }
    }

    @Test func mistakesAreTold() async throws {
        func refusal(_ change: (inout EndpointConfiguration) -> Void) async -> DataChannelsError? {
            var configuration = EndpointConfiguration()
            change(&configuration)
            do { try await Endpoint.open(configuration).close() } catch { return error }
            return nil
        }
        #expect(
            await refusal { $0.host = "nowhere" } == .invalidConfiguration("nowhere is no IP address"))
        #expect(
            await refusal { $0.stunServers = ["stun:"] } == .invalidConfiguration("stun: is no STUN server"))
        let nameless = TURNServer(uri: "turn:host", username: "", password: "x")
        #expect(
            await refusal { $0.turnServers = [nameless] }
                == .invalidConfiguration("the user name for turn:host has not 1 to 508 bytes"))
        let pair = try await Pair.make()
        await #expect(throws: DataChannelsError.wrongDescription) {
            try await pair.here.accept(answer: try await pair.there.createOffer())
        }
        await #expect(throws: DataChannelsError.self) {
            try await pair.here.accept(offer: SessionDescription(.offer, sdp: "v=0"))
        }
        let channel = try await pair.here.openChannel("main")
        await #expect(throws: DataChannelsError.messageTooLarge(limit: 262_144)) {
            try await channel.send([UInt8](repeating: 0, count: 262_145))
        }
        await pair.close()
    }

    @Test func theShortFormIsAsGoodAsTheLong() async throws {
        try await within {
            let pair = try await Pair.make()
            let channel = try await pair.here.openChannel("main")
            let offer = try #require(try await pair.here.createOffer().compact)
            #expect(offer.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_".contains($0)) })
            let read = try #require(SessionDescription(compact: offer))
            let answer = try #require(try await pair.there.accept(offer: read).compact)
            let readAnswer = try #require(SessionDescription(compact: answer))
            try await pair.here.accept(answer: readAnswer)
            try await channel.opened()
            #expect(SessionDescription(compact: "hello") == nil)
            await pair.close()
        }
    }

    @Test func statisticsAreTrue() async throws {
        try await within {
            let (pair, here, there) = try await Pair.withChannel(DataChannelOptions(protocol: "talk"))
            try await here.opened()
            try await here.send("hello")
            try await here.send([1, 2, 3])
            var received = there.messages.makeAsyncIterator()
            _ = await received.next()
            _ = await received.next()
            let (ours, theirs) = (await pair.here.statistics(), await pair.there.statistics())
            #expect(ours.peerConnection == PeerConnectionStatistics(dataChannelsOpened: 1, dataChannelsClosed: 0))
            let sent = try #require(ours.dataChannels.first)
            #expect(sent.label == "main" && sent.protocol == "talk" && sent.state == "open")
            #expect(sent.dataChannelIdentifier == here.id.map { Int($0) })
            #expect([sent.messagesSent, sent.bytesSent, sent.messagesReceived, sent.bytesReceived] == [2, 8, 0, 0])
            let got = try #require(theirs.dataChannels.first)
            #expect([got.messagesSent, got.bytesSent, got.messagesReceived, got.bytesReceived] == [0, 0, 2, 8])
            #expect(ours.transport.iceRole == "controlling" && theirs.transport.iceRole == "controlled")
            // The offer leaves the choice, the answerer takes the client's part (RFC 8842 §5.3).
            #expect(ours.transport.dtlsRole == "server" && theirs.transport.dtlsRole == "client")
            for (report, other) in [(ours, theirs), (theirs, ours)] {
                #expect(report.transport.dtlsState == "connected" && report.transport.iceState == "connected")
                #expect(report.transport.bytesSent > 1000 && report.transport.packetsSent > 5)
                #expect(report.transport.bytesReceived <= other.transport.bytesSent + 10_000)
                let path = try #require(report.selectedCandidatePair)
                #expect(path.state == "succeeded" && path.nominated)
                #expect(path.requestsSent >= 1 && path.responsesReceived >= 1)
                #expect(path.currentRoundTripTime.map { $0 > 0 && $0 < 5 } == true)
                let remote = try #require(report.remoteCandidates.first { $0.id == path.remoteCandidateId })
                let local = try #require(report.localCandidates.first { $0.id == path.localCandidateId })
                #expect(remote.address == "127.0.0.1" && local.address == "127.0.0.1")
                #expect(other.localCandidates.contains { $0.port == remote.port })
                #expect(report.certificates.map(\.fingerprintAlgorithm) == ["sha-256", "sha-256"])
                #expect(report.certificates[0].fingerprint == other.certificates[1].fingerprint)
            }
            here.close()
            await here.closed()
            #expect(await pair.here.statistics().peerConnection.dataChannelsClosed == 1)
            await pair.close()
            #expect(await pair.here.statistics().transport.dtlsState == "closed")
        }
    }

    @Test func candidatesMayFollow() async throws {
        try await within {
            // This server does not answer: the offer goes out before all candidates are there.
            let silent = try await Endpoint.open(EndpointConfiguration())
            let pair = try await Pair.make { $0.stunServers = ["stun:127.0.0.1:\(silent.port)"] }
            let offer = try await pair.here.createOffer()
            #expect(!offer.sdp.contains("a=end-of-candidates"))
            await pair.here.endpoint.gathered()
            var found = pair.here.candidates.makeAsyncIterator()
            #expect(await found.next()?.candidate == "")
            #expect(try await pair.here.createOffer().sdp.contains("a=end-of-candidates"))
            await silent.close()
            await pair.close()
        }
    }

    @Test func anEndpointCanBeASTUNServer() async throws {
        try await within {
            var configuration = EndpointConfiguration()
            configuration.host = "127.0.0.1"
            configuration.answersBindingRequests = true
            let server = try await Endpoint.open(configuration)
            configuration.stunServers = ["stun:127.0.0.1:\(server.port)"]
            let client = try await Endpoint.open(configuration)
            await client.gathered()
            // What it sees is the host's own address, which the offer has as such.
            let offer = try await client.connect().createOffer()
            #expect(offer.sdp.contains("127.0.0.1 \(client.port) typ host"))
            #expect(offer.sdp.contains("127.0.0.1 \(client.port) typ srflx"))
            #expect(offer.sdp.contains("a=end-of-candidates"))
            await client.close()
            await server.close()
        }
    }
}

@Suite struct WakeQueueTests {
    final class Holder: DeadlineHolder {
        var deadlineSlot: Int?
        var deadline: Int64?
    }

    @Test(arguments: 0..<20)
    func theEarliestComesFirst(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let holders = (0..<40).map { _ in Holder() }
        var queue = WakeQueue<Holder>()
        for _ in 0..<500 {
            let holder = holders[Int(generator.next() % 40)]
            switch generator.next() % 4 {
            case 0:
                queue.remove(holder)
                holder.deadline = nil
            case 1:
                let now = Int64(generator.next() % 1000)
                let due = holders.filter { $0.deadline.map { $0 <= now } ?? false }
                if let popped = queue.popDue(now: .init(nanoseconds: now)) {
                    #expect(popped.deadline == holders.compactMap(\.deadline).min(), "seed \(seed)")
                    popped.deadline = nil
                } else {
                    #expect(due.isEmpty, "seed \(seed)")
                }
            default:
                let deadline = Int64(generator.next() % 1000)
                queue.wake(holder, at: .init(nanoseconds: deadline))
                holder.deadline = min(holder.deadline ?? deadline, deadline)
            }
            #expect(queue.next?.nanoseconds == holders.compactMap(\.deadline).min(), "seed \(seed)")
            #expect(queue.count == holders.count { $0.deadline != nil }, "seed \(seed)")
        }
    }
}
