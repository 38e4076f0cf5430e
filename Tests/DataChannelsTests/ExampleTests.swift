import DataChannels
import Foundation
import Synchronization
import Testing

/// The example of the documentation, as it stands there, against a peer that is played here.
@Suite struct ExampleTests {
    @Test func theExampleWorks() async throws {
        try await within {
            let peer = Peer()
            @Sendable func readLine() -> String? { peer.answer.withLock { $0 } }
            @Sendable func print(_ text: String) async throws { try await peer.accept(text) }
            @Sendable func print(_ message: DataChannelMessage) { peer.printed.withLock { $0.append(message) } }
            try await { () async throws in
                // begin
                let endpoint = try await Endpoint.open()
                await endpoint.gathered()
                let connection = try await endpoint.connect()
                let channel = try await connection.openChannel("chat")
                try await print(connection.createOffer().compact ?? "")
                guard let answer = SessionDescription(compact: readLine() ?? "") else { return }
                try await connection.accept(answer: answer)
                try await channel.send("hello")
                for await message in channel.messages { print(message) }
                await endpoint.close()
                // end
            }()
            #expect(peer.printed.withLock { $0 } == [.text("hello"), .text("bye")])
        }
    }

    @Test func theExampleIsTheDocumentations() throws {
        let file = URL(fileURLWithPath: #filePath)
        let root = file.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let document = root.appendingPathComponent("Sources/DataChannels/DataChannels.docc/DataChannels.md")
        let here = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\n")
        let begin = try #require(here.firstIndex { $0.hasSuffix("// begin") })
        let end = try #require(here.firstIndex { $0.hasSuffix("// end") })
        let example = here[(begin + 1)..<end].map { $0.trimmingCharacters(in: .whitespaces) }
        #expect(example.count == 10)
        let there = try String(contentsOf: document, encoding: .utf8)
        #expect(there.contains("```swift\n\(example.joined(separator: "\n"))\n```"))
    }

    /// The other side: answers, sends back what comes and says goodbye.
    final class Peer: Sendable {
        let answer = Mutex<String?>(nil)
        let printed = Mutex<[DataChannelMessage]>([])

        func accept(_ offer: String) async throws {
            let endpoint = try await Endpoint.open()
            await endpoint.gathered()
            let connection = try await endpoint.connect()
            let description = try #require(SessionDescription(compact: offer))
            let text = try await connection.accept(offer: description).compact
            answer.withLock { $0 = text }
            Task {
                let channel = try #require(await connection.channels.first { _ in true })
                var received = channel.messages.makeAsyncIterator()
                if let message = await received.next() { try await channel.send(message) }
                try await channel.send("bye")
                channel.close()
                await channel.closed()
                await endpoint.close()
            }
        }
    }
}
