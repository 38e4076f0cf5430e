import Foundation
import SwarmBase
import Testing

@testable import JSON

@Suite struct JSONParserTests {
    func parse(_ text: String) throws -> JSONValue { try JSONValue(parsing: text) }

    @Test func acceptsEveryKindOfValue() throws {
        #expect(try parse(" null ") == .null)
        #expect(try parse("[true,false]") == [true, false])
        #expect(try parse(#"{"a":{"b":[1,-2.5,"x"]},"":{}}"#) == ["a": ["b": [1, -2.5, "x"]], "": [:]])
        #expect(try parse("\t[ ]\r\n") == [])
        #expect(try parse(#""\"\\\/\b\f\n\r\tA""#) == "\"\\/\u{8}\u{c}\n\r\tA")
        #expect(try parse(#""é漢😀\ud83d\ude00""#) == "é漢😀😀")
    }

    @Test(arguments: [
        "", " ", "{", "[", "[1", "[1,", "[1,]", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{a:1}",
        "{1:2}",
        "[1 2]", "{\"a\" 1}", "nul", "nulL", "True", "tru", "+1", "-", "01", "007", "-01", "1.", ".5", "1e", "1e+",
        "0x10",
        "NaN", "Infinity", "-Infinity", "1,", "1 1", "[]]", "\"", "\"a", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"",
        "\"a\nb\"", "\"a\u{0}b\"", "'a'", "/**/1", "\u{feff}1", "[,]", "{,}", "\"\\u", "\"\\ud83d\\u\"", "]", "}", ":",
    ])
    func refuses(_ text: String) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    }

    @Test func namesTheFault() {
        func fault(_ text: String, _ limits: JSONLimits = JSONLimits()) -> JSONError? {
            do throws(JSONError) {
                _ = try JSONValue(parsing: text, limits: limits)
                return nil
            } catch { return error }
        }
        #expect(fault("[1") == .unexpectedEnd)
        #expect(fault("[1 x") == .unexpectedByte(offset: 3))
        #expect(fault("1 1") == .unexpectedByte(offset: 2))
        #expect(fault(#"["\q"]"#) == .invalidEscape(offset: 2))
        #expect(fault("\"a\u{1}\"") == .controlCharacter(offset: 2))
        #expect(fault("[01]") == .invalidNumber(offset: 1))
        #expect(fault("[[1]]", JSONLimits(depth: 2)) == nil)
        #expect(fault("[[[1]]]", JSONLimits(depth: 2)) == .tooDeep(offset: 2))
        #expect(fault("[1,2]", JSONLimits(elements: 3)) == nil)
        #expect(fault("[1,2]", JSONLimits(elements: 2)) == .tooManyElements(offset: 3))
        #expect(fault("[1,2]", JSONLimits(bytes: 5)) == nil)
        #expect(fault("[1,2]", JSONLimits(bytes: 4)) == .tooLong)
        #expect(fault(String(repeating: "1", count: 2_000)) == nil)
        #expect(fault(String(repeating: "1", count: 2_001)) == .invalidNumber(offset: 0))
        #expect(fault(String(repeating: "[", count: 100_000), JSONLimits(depth: .max)) == .tooDeep(offset: 256))
    }

    @Test(
        arguments: [
            [0xff], [0xc0, 0x80], [0xc1, 0xbf], [0xc3], [0xe0, 0x9f, 0xbf], [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf],
            [0xf0, 0x8f, 0xbf, 0xbf], [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0x80], [0xe2, 0x82],
            [0xe2, 0x28, 0xa1], [0xf0, 0x9f, 0x98, 0x28],
        ] as [[UInt8]])
    func refusesWhatIsNotUTF8(_ bytes: [UInt8]) {
        #expect(throws: JSONError.invalidUTF8(offset: 1)) { try JSONValue(parsing: [0x22] + bytes + [0x22]) }
    }

    @Test(
        arguments: [
            [0xc2, 0x80], [0xe0, 0xa0, 0x80], [0xed, 0x9f, 0xbf], [0xee, 0x80, 0x80], [0xf0, 0x90, 0x80, 0x80],
            [0xf4, 0x8f, 0xbf, 0xbf],
        ] as [[UInt8]])
    func keepsTheEndsOfEachUTF8Length(_ bytes: [UInt8]) throws {
        #expect(try JSONValue(parsing: [0x22] + bytes + [0x22]).text?.utf8 == bytes)
    }

    @Test func lastDuplicateWinsAndKeepsItsPlace() throws {
        let value = try parse(#"{"a":1,"b":2,"a":3}"#)
        #expect(value.serialized() == Array(#"{"a":3,"b":2}"#.utf8))
    }

    @Test func numbersAreTheNearestDoubles() throws {
        for text in [
            "0", "-0", "9007199254740993", "1795346752735.001", "0.1", "123456789012345678", "5e-324", "1e23",
            "1.7976931348623157e308", "0.000001", "4.35", "9007199254740991", "1E+2", "2.2250738585072014e-308",
            "100000000000000000000000", "12345678901234567890", "0.30000000000000004", "900719925474099.3", "1e-400",
        ] {
            #expect(try parse(text).number?.bitPattern == Double(text)?.bitPattern, "\(text)")
        }
        #expect(try parse("1e400").number == .infinity)
        #expect(try parse("-1e400").number == -.infinity)
        #expect(try parse("1e400").serialized() == Array("null".utf8))
    }

    @Test func randomBytesAndMutationsNeverTrap() throws {
        let seed: UInt64 = 0x15_0a
        var random = SeededGenerator(seed: seed)
        let samples = [
            ##"{"#":"KZ956QRMG","put":{"soul":{"_":{"#":"soul",">":{"key":1795346710148.001}},"key":"t\u00e9\ud83dx"}}}"##,
            #"[[],{},"",null,true,false,-1.5e-7,[{"a":[1,2,{"b":"c"}]}]]"#,
        ].map { Array($0.utf8) }
        var accepted = 0
        for round in 0..<4_000 {
            var bytes = samples[round % samples.count]
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                case 2: bytes.insert(bytes[Int.random(in: 0..<bytes.count, using: &random)], at: place)
                default: bytes.removeLast(bytes.count - place - 1)
                }
                if bytes.isEmpty { bytes = [0] }
            }
            let fault = Self.scanned(bytes)
            guard let value = try? JSONValue(parsing: bytes) else {
                #expect(fault != nil, "seed \(seed) round \(round): \(String(decoding: bytes, as: UTF8.self))")
                continue
            }
            #expect(fault == nil, "seed \(seed) round \(round): \(String(decoding: bytes, as: UTF8.self))")
            accepted += 1
            let again = try JSONValue(parsing: value.serialized())
            #expect(again.serialized() == value.serialized(), "seed \(seed) round \(round)")
        }
        #expect(accepted > 500)
    }

    /// What a scanner that passes over the whole text finds wrong with it.
    private static func scanned(_ bytes: [UInt8], limits: JSONLimits = JSONLimits()) -> JSONError? {
        do throws(JSONError) {
            var scanner = try JSONScanner(bytes, limits: limits)
            try scanner.skip()
            try scanner.finish()
            return nil
        } catch { return error }
    }

    @Test func aScannerHasTheSameBounds() {
        #expect(Self.scanned(Array("[[1]]".utf8), limits: JSONLimits(depth: 2)) == nil)
        #expect(Self.scanned(Array("[[[1]]]".utf8), limits: JSONLimits(depth: 2)) == .tooDeep(offset: 2))
        #expect(Self.scanned(Array("[1,2]".utf8), limits: JSONLimits(elements: 3)) == nil)
        #expect(Self.scanned(Array("[1,2]".utf8), limits: JSONLimits(elements: 2)) == .tooManyElements(offset: 3))
        #expect(Self.scanned(Array("[1,2]".utf8), limits: JSONLimits(bytes: 4)) == .tooLong)
        #expect(Self.scanned(Array("1 1".utf8)) == .unexpectedByte(offset: 2))
        #expect(Self.scanned(Array(#"["\q"]"#.utf8)) == .invalidEscape(offset: 2))
    }

    @Test func aScannerStepsThrough() throws {
        let bytes = Array(##" {"a" : {"b":[1,[2],{}]}, "c\u0041":"x\n", "d":5, "e":["t"] } "##.utf8)
        var scanner = try JSONScanner(bytes)
        func raw(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
        #expect(try scanner.enterObject() == true)
        let first = try #require(try scanner.nextName())
        #expect(scanner.matches(first, "a") && !scanner.matches(first, "b"))
        #expect(raw(try scanner.skip()) == #"{"b":[1,[2],{}]}"#)
        let second = try #require(try scanner.nextName())
        #expect(second.hasEscapes && scanner.matches(second, "cA"))
        let text = try #require(try scanner.text())
        #expect(scanner.value(of: text) == "x\n")
        _ = try scanner.nextName()
        #expect(try scanner.text() == nil, "5 is passed over")
        _ = try scanner.nextName()
        #expect(try scanner.enterArray() == true)
        #expect(try scanner.nextElement() == true)
        #expect(try scanner.enterObject() == false, "a text is passed over")
        #expect(try scanner.nextElement() == false)
        #expect(try scanner.nextName() == nil)
        try scanner.finish()
    }

    /// Texts are passed over eight bytes at a time: what ends one, or must not be in one, is found at every place.
    @Test func aScannerStopsAtEveryPlace() throws {
        for length in 0...25 {
            for place in 0...length {
                let (before, after) = (
                    String(repeating: "~", count: place), String(repeating: " ", count: length - place)
                )
                func scanned(_ middle: [UInt8]) -> JSONError? {
                    Self.scanned(Array("\"".utf8) + Array(before.utf8) + middle + Array("\(after)\"".utf8))
                }
                #expect(scanned([]) == nil)
                #expect(scanned(Array("é€🐝".utf8)) == nil)
                #expect(scanned(Array(#"\u00e9\n\""#.utf8)) == nil)
                for byte in UInt8(0)..<0x20 { #expect(scanned([byte]) == .controlCharacter(offset: 1 + place)) }
                for byte in UInt8(0x80)...0xff { #expect(scanned([byte]) == .invalidUTF8(offset: 1 + place)) }
                #expect(scanned(Array(#"\q"#.utf8)) == .invalidEscape(offset: 1 + place))
                for byte in UInt8(0x20)..<0x80 where byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\") {
                    #expect(scanned([byte]) == nil)
                }
                let whole = Array("\"\(before)\" \(after)".utf8)
                var scanner = try JSONScanner(whole)
                let text = try scanner.text()
                #expect(text?.range == 1..<1 + place)
                try scanner.finish()
            }
        }
    }

    @Test func manyMembersStayFast() throws {
        let text = "{" + (0..<20_000).map { "\"k\($0)\":\($0)" }.joined(separator: ",") + "}"
        let value = try parse(text)
        #expect(value.object?.count == 20_000)
        #expect(value["k19999"]?.integer == 19_999)
        #expect(value["k20000"] == nil)
        #expect(value.serialized() == Array(text.utf8))
    }
}

@Suite struct JSONTextTests {
    @Test func equalityIsByCodeUnit() {
        #expect(JSONText("é") != JSONText("e\u{301}"))
        #expect(Set([JSONText("é"), JSONText("e\u{301}"), JSONText("é")]).count == 2)
        #expect(JSONText(utf16: [0xd83d, 0xde00]) == "😀")
    }

    @Test func loneSurrogatesSurvive() throws {
        let lone = JSONText(utf16: [0x61, 0xd83d, 0x62, 0xde00])
        #expect(lone.string == "a\u{fffd}b\u{fffd}")
        #expect(String(decoding: lone.utf8, as: UTF8.self) == "a\u{fffd}b\u{fffd}")
        #expect(Array(lone.utf16) == [0x61, 0xd83d, 0x62, 0xde00])
        #expect(String(decoding: JSONValue.text(lone).serialized(), as: UTF8.self) == #""a\ud83db\ude00""#)
        #expect(try JSONValue(parsing: #""a\uD83Db\uDE00""#).text == lone)
        #expect(try JSONValue(parsing: #""\ud83d\ud83d\ude00""#).text == JSONText(utf16: [0xd83d, 0xd83d, 0xde00]))
        #expect(try JSONValue(parsing: #""\ude00\ud83d""#).text == JSONText(utf16: [0xde00, 0xd83d]))
        #expect(lone.hasLoneSurrogate && !JSONText("😀\u{d7ff}").hasLoneSurrogate)
        #expect(JSONText("😀").hasPrefix(JSONText(utf16: [0xd83d])))
        #expect(!JSONText("😀").hasPrefix(JSONText(utf16: [0xd83e])))
        #expect(JSONText("abc").hasPrefix("ab") && !JSONText("abc").hasPrefix("b") && JSONText("").hasPrefix(""))
    }

    @Test func orderIsUTF16() {
        let ordered: [[UInt16]] = [
            [], [0], [0x41], [0x61], [0x61, 0x62], [0x7f], [0x80], [0x7ff], [0x800], [0xd7ff], [0xd800],
            [0xd800, 0x61],
            [0xd800, 0xdc00], [0xd83d], [0xd83d, 0x20], [0xd83d, 0xde00], [0xd83d, 0xde00, 0x61], [0xd83d, 0xde01],
            [0xdbff, 0xdfff], [0xdc00], [0xdfff], [0xe000], [0xffff],
        ]
        for (i, a) in ordered.enumerated() {
            for (j, b) in ordered.enumerated() {
                #expect((JSONText(utf16: a) < JSONText(utf16: b)) == (i < j), "\(a) \(b)")
                let common: [UInt16] = [0x7a, 0xe9]
                #expect((JSONText(utf16: common + a) < JSONText(utf16: common + b)) == (i < j), "\(a) \(b)")
            }
        }
    }

    @Test func latin1RoundTrips() {
        let bytes = (0...255).map { UInt8($0) }
        #expect(JSONText(latin1: bytes).latin1Bytes == bytes)
        #expect(JSONText("\u{ff}").latin1Bytes == [0xff])
        #expect(JSONText("\u{100}").latin1Bytes == nil)
        #expect(JSONText("漢").latin1Bytes == nil)
        #expect(JSONText(utf8: [0x61, 0xff]).string == "a\u{fffd}")
    }
}

@Suite struct JSONSerializationTests {
    @Test(
        arguments: [
            (0.0, "0"), (-0.0, "0"), (1, "1"), (-1, "-1"), (0.1, "0.1"), (1.5, "1.5"), (1e20, "100000000000000000000"),
            (1e21, "1e+21"), (1.5e21, "1.5e+21"), (1e-6, "0.000001"),
            (1e-7, "1e-7"), (1.25e-7, "1.25e-7"), (0.00001234, "0.00001234"), (.leastNonzeroMagnitude, "5e-324"),
            (1.7976931348623157e308, "1.7976931348623157e+308"), (9007199254740991, "9007199254740991"),
            (9007199254740992, "9007199254740992"), (9007199254740994, "9007199254740994"),
            (1795346752735.001, "1795346752735.001"), (1899999999951.0051, "1899999999951.0051"), (-1e-7, "-1e-7"),
            (12345678901234567168, "12345678901234567000"), (123456789012345683968, "123456789012345680000"),
            (0.30000000000000004, "0.30000000000000004"),
            (4.35, "4.35"), (100, "100"), (1e300, "1e+300"), (-123.456, "-123.456"), (2e-5, "0.00002"),
        ] as [(Double, String)])
    func numbersAreSpelledAsInJavaScript(_ value: Double, _ text: String) {
        #expect(javaScriptNumber(value) == text)
        #expect(JSONValue.number(value).serialized() == Array(text.utf8))
    }

    @Test func notFinite() {
        #expect(javaScriptNumber(.nan) == "NaN" && javaScriptNumber(-.infinity) == "-Infinity")
        #expect(JSONValue.number(.nan).serialized() == Array("null".utf8))
    }

    @Test func escapesAreThoseOfStringify() {
        let text = JSONText("\u{0}\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f} \"\\/\u{7f}\u{80}\u{2028}é😀")
        let expected = #""\u0000\u0001\b\t\n\u000b\f\r\u001f \"\\/"# + "\u{7f}\u{80}\u{2028}é😀\""
        #expect(String(decoding: JSONValue.text(text).serialized(), as: UTF8.self) == expected)
    }

    @Test func randomNumbersReadBack() throws {
        let seed: UInt64 = 77
        var random = SeededGenerator(seed: seed)
        for _ in 0..<5_000 {
            let value = Double(bitPattern: random.next())
            guard value.isFinite else { continue }
            let text = javaScriptNumber(value)
            #expect(try JSONValue(parsing: text).number == value, "seed \(seed) \(text)")
        }
    }

    @Test func objectsKeepOrderAndForget() {
        var object: JSONObject = ["b": 1, "a": 2]
        object["2"] = 3
        object["1"] = nil
        object["a"] = nil
        #expect(object.members.map(\.key) == ["b", "2"])
        #expect(object == ["2": 3, "b": 1])
        #expect(object != ["2": 3, "b": 2])
        #expect(object != ["2": 3])
        for n in 0..<30 { object[JSONText("k\(n)")] = .integer(n) }
        object["k3"] = nil
        #expect(object["k3"] == nil && object["k29"] == 29 && object["k4"] == 4 && object.count == 31)
    }

    @Test func accessorsNameTheKind() {
        #expect(JSONValue.number(3).integer == 3 && JSONValue.number(3.5).integer == nil)
        #expect(JSONValue.number(1e300).integer == nil)
        #expect(JSONValue.string("x").string == "x" && JSONValue.null.isNull && JSONValue.bool(true).bool == true)
        #expect(JSONValue.array([1]).array?.count == 1 && JSONValue.array([])["a"] == nil)
    }
}
