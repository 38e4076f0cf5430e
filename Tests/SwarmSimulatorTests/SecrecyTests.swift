import SwarmBase
import Testing

@testable import SwarmSimulator

/// What holds runs against the promise of confidentiality can itself fail.
@Suite struct SecrecyTests {
    @Test(arguments: 0..<6) func whatIsReadableIsFound(shift: Int) {
        let leak = [UInt8](repeating: 7, count: shift) + Array("0>1 4 confidential xxxxxx".utf8)
        var secrecy = Secrecy()
        secrecy.inspect(leak, seenBy: "a relay")
        #expect(secrecy.problems.count == 1)
        secrecy = Secrecy()
        secrecy.inspect(Array("{\"put\":\"\(leak.base64URL)\"}".utf8), seenBy: "a relay")
        #expect(secrecy.problems.count == 1, "as base64, wherever it begins")
        secrecy = Secrecy()
        secrecy.inspect(datagram: leak)
        #expect(secrecy.problems.count == 1)
    }

    @Test func whatIsNotIsNot() {
        var secrecy = Secrecy()
        var random = SeededGenerator(seed: 1)
        for _ in 0..<200 {
            let bytes = random.bytes(500)
            secrecy.inspect(bytes, seenBy: "a relay")
            secrecy.inspect(Array(bytes.base64URL.utf8), seenBy: "a relay")
            secrecy.inspect(datagram: bytes)
        }
        secrecy.inspect(Array("confidentia".utf8), seenBy: "a relay")
        #expect(secrecy.problems.isEmpty)
    }
}
