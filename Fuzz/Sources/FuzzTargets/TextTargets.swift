import Bencode
import Gun
import JSON
import Magnet
import SEA
import SwarmBase

func fuzzJSON(_ bytes: [UInt8]) throws {
    let value = try? JSONValue(parsing: bytes)
    do throws(JSONError) {
        var scanner = try JSONScanner(bytes)
        try scanner.skip()
        try scanner.finish()
    } catch {
        if value != nil { throw FuzzFinding(description: "a scanner refuses what the parser takes: \(error)") }
        return
    }
    guard let value else { throw FuzzFinding(description: "a scanner takes what the parser refuses") }
    let written = value.serialized()
    let again = try JSONValue(parsing: written, limits: JSONLimits(depth: 256, bytes: 1 << 24, elements: 1 << 24))
    // JavaScript reads 1e999 as infinity and writes that as null.
    try expect(again == value || !isFinite(value), "the same value")
    try expect(again.serialized() == written, "written twice alike")
}

func fuzzGunFrame(_ bytes: [UInt8]) throws {
    let limits = GunLimits()
    guard case .messages(let messages, _) = GunFrame(parsing: bytes, limits: limits) else { return }
    for message in messages {
        let written = message.serialized()
        guard case .messages(let again, dropped: 0) = GunFrame(parsing: written, limits: limits), again.count == 1
        else {
            throw FuzzFinding(description: "what we write cannot be read: \(String(decoding: written, as: UTF8.self))")
        }
        try expect(again[0].serialized() == written, "written twice alike: \(String(decoding: written, as: UTF8.self))")
        if case .graph(let graph) = message.put {
            let hash = ContentHash.of(graph)
            if case .graph(let same) = again[0].put { try expect(ContentHash.of(same) == hash, "the same hash") }
        }
    }
}

func fuzzMagnetLink(_ bytes: [UInt8]) throws {
    guard let link = try? MagnetLink(parsing: String(decoding: bytes, as: UTF8.self)) else { return }
    let written = link.description
    guard let again = MagnetLink(written) else { throw FuzzFinding(description: "cannot be read again: \(written)") }
    try expect(again == link, "the same link: \(written)")
    _ = link.fileName
    _ = link.swarmHash
}

private func isFinite(_ value: JSONValue) -> Bool {
    switch value {
    case .number(let number): number.isFinite
    case .array(let elements): elements.allSatisfy(isFinite)
    case .object(let object): object.members.allSatisfy { isFinite($0.value) }
    case .null, .bool, .text: true
    }
}

/// Texts as members sign them, and what stands in them: a value, a key, what follows the owner in the soul, a lex or certificate.
func fuzzSEA(_ bytes: [UInt8]) throws {
    let pair = try SEAPair(
        priv: "YEAdVUqmYOkvXXpirmqaxR0kFF9-vdbS1MLEutNNoOM", epriv: "DxHGbRcgQeHy63pGxbcdFsMJYJ6yRYx2gDCQfkbm2xc")
    var script = FuzzInput(bytes)
    let value = JSONText(utf8: script.text())
    let key = JSONText(utf8: script.text())
    let soul = JSONText("~" + pair.pub + JSONText(utf8: script.text()).string)
    let now = 1_800_000_000_000.0
    let position = GraphPosition(soul: soul, key: key, state: now)
    _ = pair.publicKey.verify(value)
    _ = pair.publicKey.verifyGraphValue(value, at: position)
    _ = pair.decrypt(value)
    _ = UserSpace.decide(.text(value), at: position, now: now)
    _ = UserSpace.decide(.text(value), at: GraphPosition(soul: value, key: key, state: now), now: now)
    guard let json = try? JSONValue(parsing: script.text()) else { return }
    _ = LexMatch.fits(value, json)
    let signed = pair.sign(json)
    try expect(pair.publicKey.verify(signed) != nil, "what we sign is authentic")
    // As the value itself, and as the certificate of another's value.
    _ = UserSpace.decide(.text(signed), at: position, now: now)
    let certified: JSONObject = ["c": .text(signed), "w": .string(pair.pub), ":": json, "~": .text(value)]
    _ = UserSpace.decide(.text(JSONText(utf8: JSONValue.object(certified).serialized())), at: position, now: now)
    _ = UserSpace.decide(json, at: position, now: now)
}

/// One value, as strictly and as leniently as it is read. What is canonical is written as it was.
func fuzzBencode(_ bytes: [UInt8]) throws {
    let lenient = try? BencodeDocument(decodingPrefixOf: bytes, as: .lenient, limits: .datagram)
    if let lenient {
        try expect((1...bytes.count).contains(lenient.byteCount), "a value has bytes of the input")
        _ = lenient.root["a"]
        _ = lenient.root["info"]?.range
        // What is written anew has no key twice, in order.
        let written = lenient.root.value.encoded
        let again = try BencodeDocument(decoding: written)
        try expect(again.root.value == lenient.root.value, "the same value")
    }
    guard let document = try? BencodeDocument(decoding: bytes) else { return }
    try expect(document.root.value.encoded == bytes, "the one form of a value")
    try expect(document.root.encoded.elementsEqual(bytes), "all bytes are the value's")
}
