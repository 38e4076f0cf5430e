/// One pass over the input, without recursion.
struct BencodeParser {
    private let bytes: [UInt8]
    private let strictness: BencodeStrictness
    private let limits: BencodeLimits
    private var position = 0
    private(set) var elements: [BencodeDocument.Element] = []

    /// A list or dictionary that is not closed yet.
    private struct Open {
        var element: Int
        var isDictionary: Bool
        /// Whether a dictionary waits for the value of a key.
        var wantsValue = false
        /// Where the key before this one is; empty at first.
        var lastKey: Range<Int>?
    }

    init(_ bytes: [UInt8], strictness: BencodeStrictness, limits: BencodeLimits) {
        self.bytes = bytes
        self.strictness = strictness
        self.limits = limits
    }

    mutating func parse() throws(BencodeError) {
        guard bytes.count <= limits.bytes else { throw .tooManyBytes }
        elements.reserveCapacity(min(32, bytes.count / 2 + 1))
        var open: [Open] = []
        repeat {
            guard position < bytes.count else { throw .endOfInput }
            let byte = bytes[position]
            if byte == UInt8(ascii: "e"), let top = open.last {
                guard !top.wantsValue else { throw .notAValue(at: position) }
                position += 1
                elements[top.element].end = Int32(position)
                elements[top.element].next = Int32(elements.count)
                open.removeLast()
                continue
            }
            let top = open.count - 1
            if top >= 0, open[top].isDictionary {
                if open[top].wantsValue {
                    open[top].wantsValue = false
                } else {
                    guard (0x30...0x39).contains(byte) else { throw .keyNotBytes(at: position) }
                    try readKey(of: &open[top])
                    continue
                }
            }
            try add(byte, to: &open)
        } while !open.isEmpty
    }

    private mutating func add(_ byte: UInt8, to open: inout [Open]) throws(BencodeError) {
        switch byte {
        case UInt8(ascii: "i"):
            try readInteger()
        case 0x30...0x39:
            try readBytes()
        case UInt8(ascii: "l"), UInt8(ascii: "d"):
            guard open.count < limits.depth else { throw .tooDeep }
            let isDictionary = byte == UInt8(ascii: "d")
            open.append(Open(element: elements.count, isDictionary: isDictionary))
            try append(isDictionary ? .dictionary : .list, start: position, content: position + 1, end: 0)
            position += 1
        default:
            throw .notAValue(at: position)
        }
    }

    private mutating func append(_ kind: BencodeKind, start: Int, content: Int, end: Int) throws(BencodeError) {
        guard elements.count < limits.items else { throw .tooManyItems }
        elements.append(
            BencodeDocument.Element(
                kind: kind, start: Int32(start), content: Int32(content), end: Int32(end),
                next: Int32(elements.count + 1)))
    }

    private mutating func readKey(of dictionary: inout Open) throws(BencodeError) {
        let start = position
        try readBytes()
        let key = Int(elements[elements.count - 1].content)..<position
        if strictness == .canonical, let last = dictionary.lastKey {
            guard bytes[last].lexicographicallyPrecedes(bytes[key]) else { throw .keysNotAscending(at: start) }
        }
        dictionary.lastKey = key
        dictionary.wantsValue = true
    }

    private mutating func readBytes() throws(BencodeError) {
        let start = position
        var count = 0
        var at = position
        while at < bytes.count, (0x30...0x39).contains(bytes[at]) {
            // A leading zero is the whole number; what is left bounds how large the number may grow.
            if at > start, bytes[start] == 0x30 { throw .malformedLength(at: start) }
            count = count * 10 + Int(bytes[at] - 0x30)
            guard count <= bytes.count else { throw .malformedLength(at: start) }
            at += 1
        }
        guard at < bytes.count else { throw .endOfInput }
        guard bytes[at] == UInt8(ascii: ":") else { throw .malformedLength(at: start) }
        at += 1
        guard count <= bytes.count - at else { throw .malformedLength(at: start) }
        position = at + count
        try append(.bytes, start: start, content: at, end: position)
    }

    private mutating func readInteger() throws(BencodeError) {
        let start = position
        var at = position + 1
        if at < bytes.count, bytes[at] == UInt8(ascii: "-") { at += 1 }
        let digits = at
        while at < bytes.count, (0x30...0x39).contains(bytes[at]) { at += 1 }
        guard at < bytes.count else { throw .endOfInput }
        let isNegative = digits - start == 2
        guard bytes[at] == UInt8(ascii: "e"), at > digits,
            bytes[digits] != 0x30 || (at == digits + 1 && !isNegative)
        else { throw .malformedInteger(at: start) }
        guard Self.integer(bytes[start + 1..<at]) != nil else { throw .integerTooLarge(at: start) }
        position = at + 1
        try append(.integer, start: start, content: start + 1, end: position)
    }

    /// The value of digits that are well formed; `nil` when 64 bits do not hold it.
    static func integer(_ text: ArraySlice<UInt8>) -> Int64? {
        let isNegative = text.first == UInt8(ascii: "-")
        var value: Int64 = 0
        for digit in isNegative ? text.dropFirst() : text {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let number = Int64(digit - 0x30)
            let (sum, overflow2) =
                isNegative ? product.subtractingReportingOverflow(number) : product.addingReportingOverflow(number)
            if overflow || overflow2 { return nil }
            value = sum
        }
        return value
    }
}
