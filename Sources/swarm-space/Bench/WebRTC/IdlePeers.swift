import ArgumentParser
import DataChannels
import Dispatch
import Foundation
import Glibc

/// The process with the other ends of idle connections.
struct IdlePeers {
    private let process: Process
    private let offers: FileHandle
    private let answers: FileHandle
    private let queue = DispatchQueue(label: "idle peers")

    /// Starts this program once more, as peers.
    static func launch(count: Int) throws -> IdlePeers {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = ["bench", IdlePeersCommand.configuration.commandName ?? "", "--count", String(count)]
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        return IdlePeers(
            process: process, offers: input.fileHandleForWriting, answers: output.fileHandleForReading)
    }

    /// Has an offer answered by a new peer.
    func answer(to offer: SessionDescription) async throws -> SessionDescription {
        guard let line = offer.compact else { throw DataChannelsError.invalidDescription("not compact") }
        let text = try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<String, any Error>) in
            queue.async {
                continuation.resume(
                    with: Result {
                        try offers.write(contentsOf: Data("\(line)\n".utf8))
                        return try Self.line(from: answers)
                    })
            }
        }
        guard let answer = SessionDescription(compact: text) else {
            throw CommandFailure(.failed, "the peers of the idle connections gave up")
        }
        return answer
    }

    func end() {
        try? offers.close()
        process.waitUntilExit()
    }

    private static func line(from handle: FileHandle) throws -> String {
        var line = Data()
        while let byte = try handle.read(upToCount: 1), let first = byte.first, first != UInt8(ascii: "\n") {
            line.append(first)
        }
        return String(decoding: line, as: UTF8.self)
    }
}

/// `swarm-space bench idle-peers`: what `bench webrtc` starts for itself.
struct IdlePeersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "idle-peers", abstract: "Answers offers, each from a port of its own.", shouldDisplay: false)

    @Option(help: "How many offers will come.")
    var count: Int

    func run() async throws {
        OpenFiles.allow(count + 100)
        let certificate = try EndpointCertificate()
        let output = ConsoleOutput()
        var held: [(Endpoint, PeerConnection)] = []
        while let line = readLine() {
            guard let offer = SessionDescription(compact: line) else { break }
            let endpoint = try await BenchLink.endpoint(certificate: certificate)
            let connection = try await endpoint.connect()
            guard let answer = try await connection.accept(offer: offer).compact else { break }
            held.append((endpoint, connection))
            output.line(answer)
        }
        withExtendedLifetime(held) {}
    }
}

/// How many files and sockets this process may have open.
enum OpenFiles {
    /// Asks for as many; gets as many as the system allows.
    static func allow(_ count: Int) {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = min(max(limit.rlim_cur, rlim_t(count)), limit.rlim_max)
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
