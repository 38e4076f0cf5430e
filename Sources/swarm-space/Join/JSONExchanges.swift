import Glibc
import JSON
import SwarmEngine
import SwarmSpace
import Synchronization

/// Requests and byte streams, as a program asks for them by JSON.
final class JSONExchanges: Sendable {
    /// How many bytes are told of at once.
    private static let progressStep = 4 << 20

    private let swarm: Swarm
    private let output: ConsoleOutput
    /// Requests of others that wait for our program's answer.
    private let waiting = Mutex<[String: CheckedContinuation<String, any Error>]>([:])
    private let nextID = Atomic<UInt64>(1)

    init(swarm: Swarm, output: ConsoleOutput) {
        self.swarm = swarm
        self.output = output
    }

    // MARK: Byte streams

    /// Sends a file; what follows is told by events.
    func send(_ file: String, to peer: PeerID, name: String, _ priority: MessagePriority) async throws {
        let source = try FileDescriptor(reading: file)
        let stream = try await swarm.openStream(to: peer, name: name, priority: priority)
        Task {
            var count = 0
            do {
                while let chunk = try source.read() {
                    try await stream.write(chunk)
                    if count / Self.progressStep != (count + chunk.count) / Self.progressStep {
                        tell("progress", stream, Int(await stream.progress().acknowledged))
                    }
                    count += chunk.count
                }
                try await stream.finish()
                try await stream.drained()
                tell("sent", stream, count)
            } catch {
                await stream.reset()
                tell("reset", stream, Int(await stream.progress().acknowledged), error)
            }
        }
    }

    /// Takes streams of a name into a file; a later one replaces what an earlier one brought.
    func accept(_ file: String, name: String) async throws {
        try await swarm.acceptStreams(named: name) { stream in
            var count = 0
            do {
                let target = try FileDescriptor(writing: file)
                self.tell("opened", stream, 0)
                for try await chunk in stream {
                    try target.write(chunk)
                    if count / Self.progressStep != (count + chunk.count) / Self.progressStep {
                        self.tell("progress", stream, count + chunk.count)
                    }
                    count += chunk.count
                }
                self.tell("received", stream, count)
            } catch {
                self.tell("reset", stream, count, error)
                throw error
            }
        }
    }

    private func tell(_ state: String, _ stream: SwarmStream, _ bytes: Int, _ error: (any Error)? = nil) {
        var event: JSONObject = [
            "event": "stream", "peer": .string("\(stream.peer)"), "name": .string(stream.name), "state": .string(state),
            "bytes": .number(Double(bytes)),
        ]
        if let error { event["reason"] = .string("\(error)") }
        output.line(JSONValue.object(event).serialized())
    }

    // MARK: Requests

    func request(_ action: String, _ text: String, of peer: PeerID, timeout: Duration?) {
        Task {
            var event: JSONObject = ["event": "response", "from": .string("\(peer)"), "action": .string(action)]
            do {
                let answer = try await swarm.request(
                    action, Array(text.utf8), of: peer, timeout: timeout ?? .seconds(30))
                event["text"] = .string(String(decoding: answer, as: UTF8.self))
            } catch {
                event["error"] = .string("\(error)")
            }
            output.line(JSONValue.object(event).serialized())
        }
    }

    /// Tells of requests from now on; the program answers with `respond`.
    func handle(_ action: String) async throws {
        try await swarm.handle(action) { payload, peer in
            let id = "\(self.nextID.wrappingAdd(1, ordering: .relaxed).oldValue)"
            let text = try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { continuation in
                    self.waiting.withLock { $0[id] = continuation }
                    if Task.isCancelled { return self.cancel(id) }
                    self.output.line(
                        JSONValue.object([
                            "event": "request", "from": .string("\(peer)"), "id": .string(id),
                            "action": .string(action),
                            "text": .string(String(decoding: payload, as: UTF8.self)),
                        ]).serialized())
                }
            } onCancel: {
                self.cancel(id)
            }
            return Array(text.utf8)
        }
    }

    func respond(_ id: String, _ text: String) {
        waiting.withLock { $0.removeValue(forKey: id) }?.resume(returning: text)
    }

    private func cancel(_ id: String) {
        guard let continuation = waiting.withLock({ $0.removeValue(forKey: id) }) else { return }
        output.line(JSONValue.object(["event": "cancelled", "id": .string(id)]).serialized())
        continuation.resume(throwing: CancellationError())
    }
}

/// A file that is open.
private final class FileDescriptor: Sendable {
    private let number: Int32

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    init(reading path: String) throws {
        number = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else { throw Failure(description: "\(path) cannot be read: choose another file") }
    }

    init(writing path: String) throws {
        number = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard number >= 0 else { throw Failure(description: "\(path) cannot be written: choose another file") }
    }

    deinit { close(number) }

    /// The next bytes; `nil` at the end.
    func read() throws -> [UInt8]? {
        var failed = false
        let chunk = unsafe [UInt8](unsafeUninitializedCapacity: 65_536) { buffer, count in
            let result = unsafe Glibc.read(number, buffer.baseAddress, buffer.count)
            failed = result < 0
            count = max(0, result)
        }
        if failed { throw Failure(description: "the file cannot be read any more") }
        return chunk.isEmpty ? nil : chunk
    }

    func write(_ bytes: [UInt8]) throws {
        var offset = 0
        while offset < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.write(number, buffer.baseAddress?.advanced(by: offset), buffer.count - offset)
            }
            guard count > 0 else { throw Failure(description: "the file cannot be written any more") }
            offset += count
        }
    }
}
