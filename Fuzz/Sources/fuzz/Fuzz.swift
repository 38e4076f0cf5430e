import CLibFuzzer
import FuzzTargets
import Glibc

/// `fuzz TARGET ARGUMENTS…`: libFuzzer on one target. `fuzz --list` names them, one a line.
@main
enum Fuzz {
    static func main() {
        let arguments = CommandLine.arguments
        if arguments.dropFirst().first == "--list" {
            for target in FuzzTarget.all { print(target.name) }
            return
        }
        guard let name = arguments.dropFirst().first, let chosen = FuzzTarget.all.first(where: { $0.name == name })
        else {
            complain("usage: fuzz TARGET [libFuzzer's arguments], or fuzz --list")
            exit(64)
        }
        unsafe target = chosen
        // libFuzzer puts its command line together again, with blanks, when it starts itself. The arguments live as long as the process.
        let rest = ["\(arguments[0]) \(name)", "-max_len=\(chosen.maximumByteCount)"] + arguments.dropFirst(2)
        var count = CInt(rest.count)
        let pointers = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: rest.count + 1)
        for (index, argument) in rest.enumerated() { unsafe pointers[index] = strdup(argument) }
        unsafe pointers[rest.count] = nil
        var values: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = unsafe pointers
        exit(unsafe LLVMFuzzerRunDriver(&count, &values, runOneInput))
    }
}

// Written once, before libFuzzer starts, and read by its callback on the same thread: libFuzzer has no place for a context.
nonisolated(unsafe) private var target: FuzzTarget?

private func runOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let input = unsafe [UInt8](UnsafeBufferPointer(start: data, count: size))
    do {
        try unsafe target?.run(input)
    } catch {
        complain("\(error)")
        abort()
    }
    return 0
}

private func complain(_ line: String) {
    var text = line + "\n"
    text.withUTF8 { bytes in _ = unsafe write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
}
