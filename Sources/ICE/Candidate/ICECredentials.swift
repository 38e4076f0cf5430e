/// The user name fragment and password of one side and one ICE generation (RFC 8839 §5.4).
public struct ICECredentials: Hashable, Sendable {
    /// 4…256 visible ASCII characters without a colon.
    public let ufrag: String
    /// 22…256 visible ASCII characters.
    public let password: String

    /// - Returns: `nil` when a length is outside the bounds of RFC 8839 §5.4 or a character could not stand in a
    ///   USERNAME. The alphabet is taken more widely than `ice-char`, because peers use `-`, `_` and `=` as well.
    public init?(ufrag: String, password: String) {
        guard Self.isAllowed(ufrag, 4...256), Self.isAllowed(password, 22...256), !ufrag.utf8.contains(0x3a)
        else { return nil }
        self.ufrag = ufrag
        self.password = password
    }

    private init(randomUsing generator: inout some RandomNumberGenerator) {
        ufrag = Self.randomText(8, using: &generator)
        password = Self.randomText(24, using: &generator)
    }

    /// New credentials: 48 bits of ufrag, 144 of password, in letters, digits, `+` and `/`.
    public static func random(using generator: inout some RandomNumberGenerator) -> ICECredentials {
        ICECredentials(randomUsing: &generator)
    }

    var key: STUNIntegrityKey { STUNIntegrityKey(password: password) }

    private static func isAllowed(_ text: String, _ count: ClosedRange<Int>) -> Bool {
        count.contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7e).contains($0) }
    }

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    private static func randomText(_ count: Int, using generator: inout some RandomNumberGenerator) -> String {
        let characters = (0..<count).map { _ in alphabet[Int(truncatingIfNeeded: generator.next() & 63)] }
        return String(decoding: characters, as: UTF8.self)
    }
}
