import Foundation
import JSON

/// `swarm-space serve` as a process of its own, with a data directory that goes away with it.
final class ServeProcess {
    /// Its GUN relay.
    let gun: String
    /// Its tracker.
    let tracker: String
    var pid: Int32 { process.processIdentifier }
    private let process: Process
    private let directory: URL

    /// Starts this program once more, and waits until it serves.
    init(options: [String] = []) throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "swarm-space-bench-\(UUID().uuidString)")
        process = Process()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments =
            ["serve", "--json", "--no-dht", "--host", "127.0.0.1", "--port", "0", "--data", directory.path] + options
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        var line = Data()
        while let byte = try output.fileHandleForReading.read(upToCount: 1), let first = byte.first {
            if first == UInt8(ascii: "\n") { break }
            line.append(first)
        }
        guard let ready = try? JSONValue(parsing: Array(line)), let gun = ready["gun"]?.string,
            let tracker = ready["tracker"]?.string
        else {
            process.terminate()
            throw CommandFailure(.failed, "the supernode to be measured did not start")
        }
        self.gun = gun
        self.tracker = tracker
    }

    /// Ends it and removes what it kept.
    func end() {
        process.terminate()
        process.waitUntilExit()
        try? FileManager.default.removeItem(at: directory)
    }
}
