import Glibc

/// A file or directory cannot be used.
public struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was tried, such as "read".
    public var operation: String
    public var path: String
    /// The system's error number.
    public var number: Int32

    public init(operation: String, path: String, number: Int32) {
        self.operation = operation
        self.path = path
        self.number = number
    }

    public var description: String { unsafe "cannot \(operation) \(path): \(String(cString: strerror(number)))" }
}

/// Small files that only their owner may read (mode 0600), written whole or not at all.
enum PrivateFile {
    /// Makes an empty file when there is none, and takes all rights from others when there is one.
    static func ensure(_ path: String) throws(FileError) {
        let descriptor = try open(path, O_RDWR | O_CREAT, "open")
        defer { _ = Glibc.close(descriptor) }
        guard fchmod(descriptor, 0o600) == 0 else { throw FileError(operation: "protect", path: path, number: errno) }
    }

    /// The file's bytes, or `nil` when there is none.
    static func read(_ path: String, limit: Int) throws(FileError) -> [UInt8]? {
        let descriptor: CInt
        do { descriptor = try open(path, O_RDONLY, "read") } catch {
            if error.number == ENOENT { return nil }
            throw error
        }
        defer { _ = Glibc.close(descriptor) }
        var result: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16384)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw FileError(operation: "read", path: path, number: errno) }
            if count == 0 { return result }
            result += chunk.prefix(count)
            guard result.count <= limit else { throw FileError(operation: "read", path: path, number: EFBIG) }
        }
    }

    /// Puts `bytes` in place of the file: after a crash there is the old file or the new one.
    static func replace(_ path: String, with bytes: [UInt8]) throws(FileError) {
        let temporary = try writeTemporary(beside: path, bytes)
        guard unsafe rename(temporary, path) == 0 else {
            let number = errno
            unsafe unlink(temporary)
            throw FileError(operation: "write", path: path, number: number)
        }
        try syncDirectory(of: path)
    }

    /// Makes the file unless there is one already.
    ///
    /// - Returns: `false` when there is one, whoever made it in the meantime.
    static func create(_ path: String, with bytes: [UInt8]) throws(FileError) -> Bool {
        let temporary = try writeTemporary(beside: path, bytes)
        defer { unsafe unlink(temporary) }
        // Unlike rename, link refuses to replace.
        guard unsafe link(temporary, path) == 0 else {
            if errno == EEXIST { return false }
            throw FileError(operation: "write", path: path, number: errno)
        }
        try syncDirectory(of: path)
        return true
    }

    /// Makes a directory for the owner alone (mode 0700), and its parents; one that exists is left as it is.
    static func makeDirectory(_ path: String) throws(FileError) {
        if unsafe mkdir(path, 0o700) == 0 { return }
        if errno == ENOENT, let parent = parent(of: path), parent != path {
            try makeDirectory(parent)
            if unsafe mkdir(path, 0o700) == 0 { return }
        }
        let number = errno
        if number == EEXIST {
            let descriptor = try open(path, O_RDONLY | O_DIRECTORY, "open the directory")
            _ = Glibc.close(descriptor)
            return
        }
        throw FileError(operation: "make the directory", path: path, number: number)
    }

    private static func open(_ path: String, _ flags: CInt, _ operation: String) throws(FileError) -> CInt {
        while true {
            let descriptor = unsafe Glibc.open(path, flags | O_CLOEXEC, 0o600)
            if descriptor >= 0 { return descriptor }
            if errno != EINTR { throw FileError(operation: operation, path: path, number: errno) }
        }
    }

    private static func writeTemporary(beside path: String, _ bytes: [UInt8]) throws(FileError) -> String {
        let temporary = "\(path).\(getpid()).\(UInt32.random(in: 0 ... .max)).new"
        let descriptor = try open(temporary, O_WRONLY | O_CREAT | O_EXCL, "write")
        defer { _ = Glibc.close(descriptor) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let number = errno
                unsafe unlink(temporary)
                throw FileError(operation: "write", path: path, number: number)
            }
            rest = rest.dropFirst(count)
        }
        guard fsync(descriptor) == 0 else {
            let number = errno
            unsafe unlink(temporary)
            throw FileError(operation: "write", path: path, number: number)
        }
        return temporary
    }

    private static func syncDirectory(of path: String) throws(FileError) {
        let directory = parent(of: path) ?? "."
        let descriptor = try open(directory, O_RDONLY | O_DIRECTORY, "open the directory")
        defer { _ = Glibc.close(descriptor) }
        _ = fsync(descriptor)
    }

    private static func parent(of path: String) -> String? {
        guard let slash = path.lastIndex(of: "/") else { return nil }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
