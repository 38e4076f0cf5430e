import JSON
import SEA
import SwarmBase
import Testing

@testable import Gun

/// A relay with the rule of user space decides as a real one with SEA was recorded to, two cases apart: it takes no
/// signature of another without a certificate, and none over something else than the value.
@Suite struct UserSpaceRuleTests {
    private func relay(requiresOwner: Bool = false) -> RelayHarness {
        var configuration = GunRelayConfiguration()
        configuration.rule = .userSpace(requiresOwner: requiresOwner)
        var harness = RelayHarness(configuration, links: [1])
        harness.wall = 1_795_348_900_000
        return harness
    }

    @Test func recordedPutsAreTakenOrRefusedAsRecorded() throws {
        let cases = try #require(try Vectors.load("user_space_puts")["cases"]?.array)
        #expect(cases.count == 82)
        var harness = relay()
        for vector in cases {
            let name = try #require(vector["name"]?.string)
            let sent = try #require(vector["sent"]?.text)
            let frame = try JSONValue(parsing: sent.utf8)
            harness.received = [:]
            harness.send(sent.utf8, on: 1)
            let isHole = name.contains("legacy fallback") || name.contains("no certificate")
            let isAccepted = vector["verdict"] == "accepted" && !isHole
            let (soul, node) = try #require(frame["put"]?.object?.members.first)
            let keys = try #require(node.object).members.map(\.key).filter { $0 != "_" }
            let key = name.hasPrefix("two keys") ? "gb" : try #require(keys.first)
            let held = harness.relay.memory.entry(try #require(Soul(soul)), try #require(Key(key)))?.value.json
            #expect((held == node[key]) == isAccepted, "\(name)")
            let id = try #require(frame["#"]?.text)
            let answers = harness.received[1]?.filter { $0.answered?.text == id } ?? []
            #expect(answers.count == 1, "\(name): a writer always gets an answer")
            let recorded = vector["reply"]?.array?.compactMap { $0["err"]?.text }.first
            if let recorded { #expect(answers.first?.err == recorded, "\(name)") }
            if isAccepted { #expect(answers.first?.err == nil, "\(name)") }
            if !isAccepted, !name.hasPrefix("older") { #expect(answers.first?.err != nil, "\(name)") }
        }
    }

    /// The list that a certificate names is on disk, not in memory: it is read before the write is decided on.
    @Test(arguments: [true, false]) func blockListsAreReadFromStorage(isBlocked: Bool) throws {
        var entropy = Entropy.seed(4)
        let (alice, bob) = (SEAPair.generate(using: &entropy), SEAPair.generate(using: &entropy))
        var certificate = Certificate(for: .everybody, write: ["*": "inbox"])
        certificate.writeBlock = "blocked"
        func signed(_ pair: SEAPair, _ value: JSONValue, _ soul: Soul, _ key: Key, by text: JSONText? = nil) throws
            -> GunValue
        {
            let position = GraphPosition(soul: soul.text, key: key.text, state: 5)
            return .text(try #require(pair.signGraphValue(value, at: position, certificate: text)))
        }
        let account = try #require(Soul("~" + alice.pub)), list: Soul = "other list"
        let inbox = try #require(Soul("~\(alice.pub)/inbox")), name = try #require(Key(bob.pub))
        var harness = relay()
        // The account's node links to the list.
        harness.disk[account] = [
            "blocked": GunEntry(try signed(alice, ["#": "other list"], account, "blocked"), state: 5)
        ]
        harness.disk[list] = [isBlocked ? name : "somebody else": GunEntry(.bool(true), state: 5)]
        harness.diskIsSlow = true
        let value = try signed(bob, "hi", inbox, "k", by: alice.certify(certificate))
        harness.received = [:]
        harness.send(putFrame("p", inbox, "k", value, 5), on: 1)
        #expect(harness.received[1] == nil, "nothing is decided yet")
        harness.wakeDisk()
        let answer = try #require(harness.received[1]?.first { $0.answered == "p" })
        #expect((answer.err == JSONText("Certificant \(bob.pub) blocked.")) == isBlocked)
        #expect((harness.disk[inbox]?["k"]?.value == value) == !isBlocked)
        #expect(harness.relay.storage.waitingCount == 0 && harness.relay.jobs.isEmpty)
    }

    @Test func ownersCanBeRequired() throws {
        var harness = relay(requiresOwner: true)
        harness.send(##"{"#":"sec1","put":{"public":{"_":{"#":"public",">":{"k":1}},"k":"v"}}}"##, on: 1)
        #expect(harness.received[1]?.last?.err == "Soul missing public key at 'k'.")
    }

    @Test func applicationsSeeWhatWasSigned() throws {
        let cases = try #require(try Vectors.load("user_space_puts")["cases"]?.array)
        var seen: [String: GunValue] = [:]
        for vector in cases {
            let sent = try JSONValue(parsing: try #require(vector["sent"]?.text).utf8)
            guard let put = sent["put"], let graph = try? GunGraph(put, limits: GunLimits()),
                let name = vector["name"]?.string
            else { continue }
            seen[name] = graph.records[0].content
            if name == "certificate, allowed path" { #expect(graph.records[0].author?.hasPrefix("h_QL5") == true) }
            if name == "signed value 5" { #expect(graph.records[0].author?.hasPrefix("fDo4") == true) }
            if name == "ordinary soul, unsigned" { #expect(graph.records[0].author == nil) }
        }
        #expect(
            seen["signed value 5"] == 5 && seen["signed value \"123\""] == "123" && seen["signed value null"] == .null)
        #expect(seen["certificate, allowed path"] == "hi" && seen["ordinary soul, unsigned"] == "v")
    }
}
