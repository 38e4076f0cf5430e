import ICE
import SwarmBase
import WebRTC

/// One line that may be a candidate.
func fuzzCandidate(_ bytes: [UInt8]) throws {
    guard let candidate = Candidate(sdp: String(decoding: bytes, as: UTF8.self)) else { return }
    try expect(candidate.address.port != 0, "a candidate can be sent to")
    let line = candidate.sdp
    try expect(!line.contains("\n"), "a candidate is one line")
    guard let again = Candidate(sdp: line) else { throw FuzzFinding(description: "cannot be read again: \(line)") }
    try expect(
        again.address == candidate.address && again.priority == candidate.priority, "the same candidate: \(line)")
    try expect(again.sdp == line, "written twice alike: \(line)")
}

/// An offer or an answer; the first byte says which.
func fuzzSessionDescription(_ bytes: [UInt8]) throws {
    let kind: SessionDescription.Kind = bytes.first.map { $0 & 1 == 1 } == true ? .answer : .offer
    let text = String(decoding: bytes.dropFirst(), as: UTF8.self)
    guard let description = try? SessionDescription(kind: kind, parsing: text) else { return }
    let written = description.sdp
    let again = try SessionDescription(kind: kind, parsing: written)
    try expect(again.credentials == description.credentials, "the same credentials")
    try expect(again.fingerprints == description.fingerprints, "the same fingerprints")
    try expect(again.setup == description.setup && again.sctpPort == description.sctpPort, "the same transport")
    try expect(again.maxMessageSize == description.maxMessageSize, "the same limit")
    try expect(again.candidates.map(\.address) == description.candidates.map(\.address), "the same candidates")
    try expect(again.sdp == written, "written twice alike")
    if let compact = description.compact {
        // Descriptions with more than fits the short form are refused by its reader.
        guard let short = SessionDescription(compact: compact) else { return }
        try expect(short.credentials == description.credentials, "the same credentials in short")
    }
}

/// The short form: as its characters, and as the bytes that these stand for.
func fuzzCompactDescription(_ bytes: [UInt8]) throws {
    _ = SessionDescription(compact: String(decoding: bytes, as: UTF8.self))
    guard let description = SessionDescription(compact: bytes.base64URL) else { return }
    guard let written = description.compact, let again = SessionDescription(compact: written) else {
        throw FuzzFinding(description: "a short description cannot be written again")
    }
    try expect(again == description, "the same description")
    let long = try SessionDescription(kind: description.kind, parsing: description.sdp)
    try expect(long.candidates.map(\.address) == description.candidates.map(\.address), "the same candidates in long")
}

/// `stun:` and `turn:` URIs as people type them.
func fuzzServerURI(_ bytes: [UInt8]) throws {
    let text = String(decoding: bytes, as: UTF8.self)
    if let location = TURNLocation(text) {
        try expect(TURNLocation(location.description) == location, "the same: \(text)")
    }
    if let location = STUNLocation(text) {
        try expect(STUNLocation(location.description) == location, "the same: \(text)")
    }
}
