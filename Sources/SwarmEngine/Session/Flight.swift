/// The highest number of one lane or byte stream in a packet that is under way.
struct FlightPart: Equatable, Sendable {
    enum Flow: Equatable, Sendable {
        case lane(Lane, stream: UInt64)
        case stream(UInt64)
    }

    var flow: Flow
    var highest: UInt64
}

/// What a packet with data holds.
struct Flight: Equatable, Sendable {
    var first: FlightPart
    var more: [FlightPart] = []

    mutating func note(_ part: FlightPart) {
        if first.flow == part.flow {
            first.highest = max(first.highest, part.highest)
        } else if let index = more.firstIndex(where: { $0.flow == part.flow }) {
            more[index].highest = max(more[index].highest, part.highest)
        } else {
            more.append(part)
        }
    }

    func isDone(_ has: (FlightPart) -> Bool) -> Bool { has(first) && more.allSatisfy(has) }
}
