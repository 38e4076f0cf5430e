import SwarmBase
import Testing

@Suite struct Base64URLTests {
    @Test(arguments: [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("\u{3ff}?", "z78_")])
    func roundTrips(plain: String, encoded: String) {
        #expect(Array(plain.utf8).base64URL == encoded)
        #expect([UInt8](base64URL: encoded) == Array(plain.utf8))
    }

    @Test(arguments: ["Z", "Zh", "Zg==", "Zm9+", "Zm9/", "Zm 9", "Zm9vY"])
    func refuses(text: String) {
        #expect([UInt8](base64URL: text) == nil)
    }
}
