import Glibc

/// How much memory a process has.
enum ProcessMemory {
    /// What of it is in memory, in bytes; 0 when there is no such process.
    ///
    /// - Parameter process: its number; `nil` is this one.
    static func resident(of process: Int32? = nil) -> Int {
        let name = process.map(String.init) ?? "self"
        guard let file = unsafe fopen("/proc/\(name)/statm", "r") else { return 0 }
        defer { unsafe fclose(file) }
        var line = [CChar](repeating: 0, count: 128)
        guard unsafe fgets(&line, 128, file) != nil else { return 0 }
        let fields = String(decoding: line.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: " ")
        return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
    }
}
