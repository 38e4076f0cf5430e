import Foundation
import JSON
import SEA
import SwarmBase
import Testing

@Suite struct SEAPairTests {
    private func pair(_ seed: UInt64) -> SEAPair {
        var entropy = Entropy.seed(seed)
        return SEAPair.generate(using: &entropy)
    }

    @Test func generatedPairsSurviveJSON() throws {
        for seed in 0..<20 as Range<UInt64> {
            let pair = pair(seed)
            #expect(pair.json.object?.members.map(\.key) == ["pub", "priv", "epub", "epriv"])
            let again = try SEAPair(json: JSONValue(parsing: pair.json.serialized()))
            #expect(again.json == pair.json)
            #expect(again.pub == pair.pub)
            #expect(pair.pub.utf8.count == 87 && pair.priv.utf8.count == 43)
            #expect(self.pair(seed).json == pair.json)
            #expect(self.pair(seed &+ 100).pub != pair.pub)
        }
    }

    @Test func neverPrintsPrivateParts() {
        let pair = pair(1)
        var dumped = ""
        dump(pair, to: &dumped)
        for text in [
            "\(pair)", pair.debugDescription, String(reflecting: pair), dumped, "\([pair])", "\(Optional(pair) as Any)",
        ] {
            #expect(text.contains(pair.pub))
            #expect(!text.contains(pair.priv))
            #expect(!text.contains(pair.epriv))
        }
    }

    @Test func malformedPairsAreRefused() throws {
        func error(_ change: (inout JSONObject) -> Void) throws -> SEAError? {
            var object = try #require(pair(1).json.object)
            change(&object)
            do throws(SEAError) {
                _ = try SEAPair(json: .object(object))
                return nil
            } catch { return error }
        }
        let other = pair(2)
        let zero = [UInt8](repeating: 0, count: 32).base64URL
        let order = try #require(
            [UInt8](hexadecimal: "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"))
        #expect(try error { _ in } == nil)
        #expect(try error { $0["extra"] = 1 } == nil)
        for name in ["pub", "priv", "epub", "epriv"] as [JSONText] {
            #expect(try error { $0[name] = nil } == .malformedPair)
            #expect(try error { $0[name] = 5 } == .malformedPair)
        }
        #expect(try error { $0["pub"] = .string(other.pub) } == .mismatchedPair)
        #expect(try error { $0["epub"] = .string(other.epub) } == .mismatchedPair)
        #expect(try error { $0["pub"] = .string(zero + "." + zero) } == .invalidPublicKey)
        #expect(try error { $0["epub"] = "x" } == .invalidPublicKey)
        #expect(try error { $0["priv"] = .string(zero) } == .invalidPrivateKey)
        #expect(try error { $0["priv"] = .string(order.base64URL) } == .invalidPrivateKey)
        #expect(try error { $0["epriv"] = .string(String(other.epriv.dropLast())) } == .invalidPrivateKey)
        #expect(throws: SEAError.malformedPair) { try SEAPair(json: nil) }
    }

    @Test func publicKeysArePointsWithOneSpelling() throws {
        let text = pair(3).pub
        let key = try #require(SEAPublicKey(text))
        #expect(key.text == text && "\(key)" == text)
        #expect(SEAPublicKey(rawRepresentation: key.rawRepresentation) == key)
        var bytes = key.rawRepresentation
        bytes[63] ^= 1
        #expect(SEAPublicKey(rawRepresentation: bytes) == nil)
        #expect(SEAPublicKey(rawRepresentation: []) == nil)
        for wrong in [
            "", ".", text + "A", String(text.dropLast()), text.replacing(".", with: "A"), text + "=", " " + text,
        ] {
            #expect(SEAPublicKey(wrong) == nil, "\(wrong)")
        }
        // The last character of a coordinate has two bits to spare, which must be zero.
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
        let last = try #require(text.last.flatMap { alphabet.firstIndex(of: $0) })
        #expect(SEAPublicKey(String(text.dropLast()) + String(alphabet[last | 1])) == nil)
    }

    @Test func signsBytes() {
        let pair = pair(4)
        let message = Array("a message".utf8)
        var signature = pair.signBytes(message)
        #expect(signature.count == 64)
        #expect(pair.publicKey.verify(message, signature: signature))
        #expect(!pair.publicKey.verify(message + [0], signature: signature))
        #expect(!self.pair(5).publicKey.verify(message, signature: signature))
        #expect(!pair.publicKey.verify(message, signature: []))
        #expect(!pair.publicKey.verify(message, signature: Array(signature.dropLast())))
        #expect(!pair.publicKey.verify(message, signature: signature + [0]))
        #expect(!pair.publicKey.verify(message, signature: [UInt8](repeating: 0, count: 64)))
        #expect(!pair.publicKey.verify(message, signature: [UInt8](repeating: 0xff, count: 64)))
        signature[40] ^= 1
        #expect(!pair.publicKey.verify(message, signature: signature))
        #expect(pair.publicKey.verify([], signature: pair.signBytes([])))
    }

    @Test func graphValuesAreSignedForOnePosition() throws {
        let pair = pair(6)
        let position = GraphPosition(soul: JSONText("~\(pair.pub)/p"), key: "k", state: 1795348815402.001)
        let values: [JSONValue] = [
            nil, true, 0.1, 1e21, "text", "123", ["#": "soul"], .text(JSONText(latin1: 0...255)),
        ]
        for value in values {
            let text = try #require(pair.signGraphValue(value, at: position))
            #expect(pair.publicKey.verifyGraphValue(text, at: position) == value)
            for change in [
                GraphPosition(soul: JSONText("~\(pair.pub)/q"), key: "k", state: position.state),
                GraphPosition(soul: position.soul, key: "l", state: position.state),
                GraphPosition(soul: position.soul, key: "k", state: position.state.nextUp),
            ] {
                #expect(pair.publicKey.verifyGraphValue(text, at: change) == nil)
            }
            #expect(self.pair(7).publicKey.verifyGraphValue(text, at: position) == nil)
        }
    }

    @Test func valuesOutsideTheGraphAreNotSigned() {
        let pair = pair(6)
        let position = GraphPosition(soul: "s", key: "k", state: 1)
        for value in [[], .number(.infinity), .number(.nan), [:], ["#": 1], ["#": "a", "b": 1], ["a": "b"]]
            as [JSONValue]
        {
            #expect(pair.signGraphValue(value, at: position) == nil)
        }
        #expect(pair.signGraphValue(1, at: GraphPosition(soul: "s", key: "k", state: .infinity)) == nil)
        // Infinity is hashed as null, so a signature of null must not vouch for it.
        let signedNull = pair.signGraphValue(nil, at: position)?.string ?? ""
        let forged = signedNull.replacing("\":\":null", with: "\":\":1e999")
        #expect(forged != signedNull)
        #expect(pair.publicKey.verifyGraphValue(JSONText(forged), at: position) == nil)
    }

    @Test(arguments: 0..<4 as Range<UInt64>) func mutatedTextsNeverTrap(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var entropy = Entropy.seed(seed)
        let pair = pair(8)
        let position = GraphPosition(soul: "s", key: "k", state: 1)
        let sealed = pair.encrypt(["a": [1, "two", nil]], using: &entropy)
        let signed = pair.sign(["a": [1, "two", nil]])
        let stored = try #require(pair.signGraphValue("v", at: position))
        #expect(pair.decrypt(sealed) == ["a": [1, "two", nil]])
        for text in [sealed, signed, stored] {
            for _ in 0..<150 {
                var bytes = text.utf8
                for _ in 0..<Int.random(in: 1...3, using: &generator) where !bytes.isEmpty {
                    let place = Int.random(in: 0..<bytes.count, using: &generator)
                    switch Int.random(in: 0..<3, using: &generator) {
                    case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
                    case 1: bytes.remove(at: place)
                    default: bytes.insert(bytes[place], at: place)
                    }
                }
                let mutated = JSONText(utf8: bytes)
                // Nothing but the original content ever comes out.
                if let value = pair.decrypt(mutated) { #expect(value == ["a": [1, "two", nil]], "seed \(seed)") }
                if let value = pair.publicKey.verify(mutated) {
                    #expect(value == ["a": [1, "two", nil]], "seed \(seed)")
                }
                if let value = pair.publicKey.verifyGraphValue(mutated, at: position) {
                    #expect(value == "v", "seed \(seed)")
                }
                _ = SEAPublicKey(mutated.string)
                _ = UserSoul.owner(of: mutated)
            }
        }
    }
}
