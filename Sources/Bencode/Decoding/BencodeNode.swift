/// One value of a document.
///
/// Each getter gives `nil` when the value is of another kind, so a chain of them reads a message whatever it holds.
public struct BencodeNode: Sendable {
    private let document: BencodeDocument
    private let index: Int

    init(document: BencodeDocument, index: Int) {
        self.document = document
        self.index = index
    }

    private var element: BencodeDocument.Element { document.elements[index] }

    public var kind: BencodeKind { element.kind }

    /// Where the value's encoding is in the input.
    public var range: Range<Int> { Int(element.start)..<Int(element.end) }

    /// The value's encoding as it was received.
    public var encoded: ArraySlice<UInt8> { document.bytes[range] }

    public var integer: Int64? {
        guard kind == .integer else { return nil }
        return BencodeParser.integer(document.bytes[Int(element.content)..<Int(element.end) - 1])
    }

    public var bytes: ArraySlice<UInt8>? {
        guard kind == .bytes else { return nil }
        return document.bytes[Int(element.content)..<Int(element.end)]
    }

    /// The text of a byte string that is UTF-8.
    public var text: String? {
        bytes.flatMap { String(validating: $0, as: UTF8.self) }
    }

    /// The members of a list.
    public var list: [BencodeNode]? {
        kind == .list ? members : nil
    }

    /// The keys and values of a dictionary, in the order received.
    public var entries: [(key: ArraySlice<UInt8>, value: BencodeNode)]? {
        guard kind == .dictionary else { return nil }
        let members = members
        return stride(from: 0, to: members.count - 1, by: 2).map { (members[$0].bytes ?? [], members[$0 + 1]) }
    }

    /// The value of a key of a dictionary; of equal keys the last one counts.
    public subscript(key: String) -> BencodeNode? {
        guard kind == .dictionary else { return nil }
        let name = key.utf8
        var found: Int?
        var at = index + 1
        while at < Int(element.next) {
            let key = document.elements[at]
            if Int(key.end - key.content) == name.count,
                document.bytes[Int(key.content)..<Int(key.end)].elementsEqual(name)
            {
                found = at + 1
            }
            at = Int(document.elements[at + 1].next)
        }
        return found.map { BencodeNode(document: document, index: $0) }
    }

    /// The value by itself.
    public var value: BencodeValue {
        switch kind {
        case .integer: .integer(integer ?? 0)
        case .bytes: .bytes(Array(bytes ?? []))
        case .list: .list(members.map(\.value))
        case .dictionary:
            .dictionary(
                Dictionary((entries ?? []).map { (Array($0.key), $0.value.value) }, uniquingKeysWith: { $1 }))
        }
    }

    private var members: [BencodeNode] {
        var result: [BencodeNode] = []
        var at = index + 1
        while at < Int(element.next) {
            result.append(BencodeNode(document: document, index: at))
            at = Int(document.elements[at].next)
        }
        return result
    }
}
