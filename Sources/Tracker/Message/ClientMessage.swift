import JSON
import Magnet

/// What a client says to a tracker, as far as a tracker needs it. Descriptions are not read but handed on as they came, so only
/// their places are noted.
struct ClientMessage {
    enum Action { case announce, scrape, other }
    enum Event { case stopped, completed, other }

    struct Offer {
        var id: OfferKey
        /// The id's text with its quotes, and the offer.
        var idPlace: Range<Int>
        var place: Range<Int>
    }

    /// The message itself.
    let frame: [UInt8]
    private(set) var action = Action.other
    private(set) var event = Event.other
    /// Nothing is missing: a seed.
    private(set) var isComplete = false
    private(set) var infoHash: InfoHash?
    private(set) var infoHashPlace = 0..<0
    /// What a scrape asks for; `nil` when it does not say.
    private(set) var scraped: [InfoHash]?
    private(set) var peerID: TrackerPeerID?
    private(set) var peerIDPlace = 0..<0
    private(set) var toPeerID: TrackerPeerID?
    private(set) var offerID: OfferKey?
    private(set) var offerIDPlace = 0..<0
    private(set) var offers: [Offer] = []
    /// An object, whatever is in it.
    private(set) var answerPlace: Range<Int>?
    /// Whether the answer has a description.
    private(set) var isAnswerWhole = false

    /// - Returns: `nil` for what is no JSON object within the bounds of this protocol.
    init?(_ frame: [UInt8], maximumByteCount: Int, maximumOffers: Int, maximumHashes: Int) {
        self.frame = frame
        do throws(JSONError) {
            var scanner = try JSONScanner(frame, limits: .tracker(bytes: maximumByteCount))
            guard try scanner.enterObject() else { return nil }
            while let name = try scanner.nextName() {
                try take(name, &scanner, maximumOffers: maximumOffers, maximumHashes: maximumHashes)
            }
            try scanner.finish()
        } catch { return nil }
    }

    /// Reads one member; of several with the same name the last counts.
    private mutating func take(
        _ name: JSONScanner.Text, _ scanner: inout JSONScanner, maximumOffers: Int, maximumHashes: Int
    ) throws(JSONError) {
        if scanner.isNamed(name, "offers") {
            try takeOffers(&scanner, most: maximumOffers)
        } else if scanner.isNamed(name, "info_hash") {
            try takeInfoHash(&scanner, most: maximumHashes)
        } else if scanner.isNamed(name, "peer_id") {
            let text = try scanner.text()
            peerID = text.flatMap { peerID(at: $0, scanner) }
            peerIDPlace = text?.quoted ?? 0..<0
        } else if scanner.isNamed(name, "to_peer_id") {
            toPeerID = try scanner.text().flatMap { peerID(at: $0, scanner) }
        } else if scanner.isNamed(name, "offer_id") {
            let text = try scanner.text()
            offerID = text.flatMap { offerKey(at: $0, scanner) }
            offerIDPlace = text?.quoted ?? 0..<0
        } else if scanner.isNamed(name, "answer") {
            let (place, isObject, hasDescription) = try takeDescription(&scanner)
            answerPlace = isObject ? place : nil
            isAnswerWhole = hasDescription
        } else if scanner.isNamed(name, "action") {
            let text = try scanner.text()
            action =
                text.map {
                    scanner.matches($0, "announce") ? .announce : scanner.matches($0, "scrape") ? .scrape : .other
                } ?? .other
        } else if scanner.isNamed(name, "event") {
            let text = try scanner.text()
            event =
                text.map {
                    scanner.matches($0, "stopped") ? .stopped : scanner.matches($0, "completed") ? .completed : .other
                } ?? .other
        } else if scanner.isNamed(name, "left") {
            let place = try scanner.skip()
            // Nearly always a plain number, and only what begins so can be 0.
            isComplete =
                frame[place.lowerBound] == UInt8(ascii: "0") && place.count == 1
                || (frame[place.lowerBound] == UInt8(ascii: "-") || frame[place.lowerBound] == UInt8(ascii: "0"))
                    && (try? JSONValue(parsing: frame[place]))?.number == 0
        } else {
            try scanner.skip()
        }
    }

    private mutating func takeInfoHash(_ scanner: inout JSONScanner, most: Int) throws(JSONError) {
        infoHash = nil
        scraped = []
        if try scanner.isAtArray() {
            var count = 0
            _ = try scanner.enterArray()
            while try scanner.nextElement() {
                let text = try scanner.text()
                if count < most, let hash = text.flatMap({ infoHash(at: $0, scanner) }) { scraped?.append(hash) }
                count += 1
            }
        } else if let text = try scanner.text(), let hash = infoHash(at: text, scanner) {
            infoHash = hash
            infoHashPlace = text.quoted
            scraped = [hash]
        }
    }

    private mutating func takeOffers(_ scanner: inout JSONScanner, most: Int) throws(JSONError) {
        offers = []
        guard try scanner.enterArray() else { return }
        var count = 0
        while try scanner.nextElement() {
            count += 1
            guard count <= most else {
                try scanner.skip()
                continue
            }
            guard try scanner.enterObject() else { continue }
            var id: (value: OfferKey, place: Range<Int>)?
            var offer: Range<Int>?
            while let name = try scanner.nextName() {
                if scanner.isNamed(name, "offer_id") {
                    id = nil
                    if let text = try scanner.text(), let value = offerKey(at: text, scanner) {
                        id = (value, text.quoted)
                    }
                } else if scanner.isNamed(name, "offer") {
                    let (place, _, hasDescription) = try takeDescription(&scanner)
                    offer = hasDescription ? place : nil
                } else {
                    try scanner.skip()
                }
            }
            if let id, let offer { offers.append(Offer(id: id.value, idPlace: id.place, place: offer)) }
        }
    }

    /// An offer or answer: where it is, and whether it has a description (`sdp`).
    private func takeDescription(
        _ scanner: inout JSONScanner
    ) throws(JSONError) -> (place: Range<Int>, isObject: Bool, hasDescription: Bool) {
        let start = try scanner.placeOfNext()
        guard try scanner.enterObject() else { return (start..<start, false, false) }
        var hasDescription = false
        while let name = try scanner.nextName() {
            if scanner.isNamed(name, "sdp") {
                hasDescription = try scanner.text() != nil
            } else {
                try scanner.skip()
            }
        }
        return (start..<scanner.place, true, hasDescription)
    }

    private func infoHash(at text: JSONScanner.Text, _ scanner: JSONScanner) -> InfoHash? {
        // Each of twenty characters takes two bytes at most, or six as an escape.
        guard text.range.count <= 120 else { return nil }
        if !text.hasEscapes { return InfoHash(latin1UTF8: frame[text.range]) }
        return scanner.value(of: text).twentyBytes.flatMap { InfoHash(bytes: $0) }
    }

    private func peerID(at text: JSONScanner.Text, _ scanner: JSONScanner) -> TrackerPeerID? {
        infoHash(at: text, scanner).map { TrackerPeerID($0) }
    }

    private func offerKey(at text: JSONScanner.Text, _ scanner: JSONScanner) -> OfferKey? {
        if let twenty = infoHash(at: text, scanner) { return .twentyBytes(twenty) }
        return TrackerOfferID(text: scanner.value(of: text)).map { .text($0) }
    }
}

/// An offer's id as the server compares it. Nearly all are binary strings of twenty bytes, which take no memory of their own.
enum OfferKey: Hashable, Sendable {
    case twentyBytes(InfoHash)
    /// Any other text.
    case text(TrackerOfferID)
}

extension JSONScanner {
    /// Whether a name is this one. Most are not, and most of those are of another length.
    fileprivate func isNamed(_ name: Text, _ literal: StaticString) -> Bool {
        (name.range.count == literal.utf8CodeUnitCount || name.hasEscapes) && matches(name, literal)
    }
}

extension JSONScanner.Text {
    /// Where the text is, with its quotes.
    fileprivate var quoted: Range<Int> { range.lowerBound - 1..<range.upperBound + 1 }
}
