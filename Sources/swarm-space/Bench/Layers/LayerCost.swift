import Glibc
import JSON

/// What one layer of a peer connection costs in memory, without sockets: both ends together, on one core.
struct LayerCost: Sendable {
    let name: String
    /// Packets or records that carried it, acknowledgements included.
    var packets: Int
    var bytes: Int
    var nanoseconds: Int

    var nanosecondsPerPacket: Double { Double(nanoseconds) / Double(max(1, packets)) }
    var megabitsPerSecond: Double { Double(bytes) * 8000 / Double(max(1, nanoseconds)) }

    var json: JSONValue {
        [
            "layer": .string(name), "packets": .number(Double(packets)), "bytes": .number(Double(bytes)),
            "cpu_ns_per_packet": .number(nanosecondsPerPacket.rounded()),
            "mbit_per_s": .number(megabitsPerSecond.rounded()),
        ]
    }
}

/// The processor time of a thread: what others do meanwhile does not count.
enum ThreadTime {
    static var now: Int { read(CLOCK_THREAD_CPUTIME_ID) }
    /// The same of the whole process.
    static var ofProcess: Int { read(CLOCK_PROCESS_CPUTIME_ID) }

    private static func read(_ clock: clockid_t) -> Int {
        var time = timespec()
        _ = unsafe clock_gettime(clock, &time)
        return time.tv_sec * 1_000_000_000 + time.tv_nsec
    }
}
