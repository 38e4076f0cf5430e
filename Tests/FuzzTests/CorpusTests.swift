import Foundation
public import FuzzTargets
public import Testing

/// Every input that was ever worth keeping, given to its target again: those that cover it, and those that once broke it.
@Suite struct CorpusTests {
    private static let corpora = URL(filePath: #filePath).deletingLastPathComponent().appending(
        path: "../../Fuzz/Corpora")

    @Test(arguments: FuzzTarget.all) func holds(target: FuzzTarget) throws {
        let folder = Self.corpora.appending(path: target.name)
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        #expect(files.count > 1, "\(target.name) has a corpus")
        for file in files {
            let input = try [UInt8](Data(contentsOf: file))
            do {
                try target.run(input)
            } catch {
                Issue.record("\(target.name)/\(file.lastPathComponent): \(error)")
            }
        }
    }

    @Test func everyCorpusHasATarget() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.corpora.path)
        #expect(Set(names).isSubset(of: Set(FuzzTarget.all.map(\.name))))
    }
}

extension FuzzTarget: CustomTestStringConvertible {
    public var testDescription: String { name }
}
