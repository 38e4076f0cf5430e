internal import SwarmBase

/// What one direction of a link does to datagrams. By default nothing: they arrive at once.
public struct LinkConditions: Hashable, Sendable {
    /// The share that is lost, 0…1.
    public var loss = 0.0
    /// The share that arrives twice, 0…1.
    public var duplication = 0.0
    /// The share that is overtaken by later ones, 0…1.
    public var reordering = 0.0
    /// The share in which one byte is changed, 0…1.
    public var corruption = 0.0
    /// How long it takes, one way.
    public var delay = Duration.zero
    /// The most that is added to `delay`; the order is kept.
    public var jitter = Duration.zero
    /// The most that overtaken datagrams come later.
    public var reorderingDelay = Duration.milliseconds(50)
    /// The longest datagram that passes whole, with IP and UDP headers; a longer one passes in fragments, or is lost when it
    /// must not be fragmented. `nil` for any length.
    public var maximumTransmissionUnit: Int?
    /// How much passes; `nil` for any amount.
    public var bitsPerSecond: Int?
    /// How long the queue before a link with a `bitsPerSecond` may get; what comes on top is lost.
    public var queue = Duration.milliseconds(200)
    /// Nothing passes.
    public var isCut = false

    public init() {}

    /// A link that only takes its time.
    public static func delay(_ delay: Duration) -> LinkConditions {
        var conditions = LinkConditions()
        conditions.delay = delay
        return conditions
    }

    /// The longest that a datagram of usual size can take.
    public var longestDelay: Duration {
        delay + jitter + (reordering > 0 ? reorderingDelay : .zero) + (bitsPerSecond == nil ? .zero : queue * 2)
    }
}

/// One direction of a link.
struct Link: Sendable {
    var conditions: LinkConditions
    /// When what waits in the queue has passed.
    private var freeAt = Instant.zero
    private var lastArrival = Instant.zero
    /// IPv4 and UDP headers, which take their share of the rate and of the length.
    private static let headers = 28

    init(_ conditions: LinkConditions) { self.conditions = conditions }

    /// When, and how, a datagram comes out at the other end: not at all, once or twice.
    mutating func carry(
        _ payload: [UInt8], forbidsFragmentation: Bool, now: Instant, using random: inout SeededGenerator
    ) -> [(at: Instant, payload: [UInt8])] {
        guard !conditions.isCut else { return [] }
        if forbidsFragmentation, let most = conditions.maximumTransmissionUnit, payload.count + Self.headers > most {
            return []
        }
        var leaves = now
        if let rate = conditions.bitsPerSecond, rate > 0 {
            leaves = max(now, freeAt)
            guard leaves - now <= conditions.queue else { return [] }
            let bits = Int64(payload.count + Self.headers) * 8
            freeAt = leaves + .nanoseconds(bits * 1_000_000_000 / Int64(rate))
            leaves = freeAt
        }
        guard !happens(conditions.loss, &random) else { return [] }
        let copies = happens(conditions.duplication, &random) ? 2 : 1
        return (0..<copies).map { _ in
            var bytes = payload
            if happens(conditions.corruption, &random), let index = bytes.indices.randomElement(using: &random) {
                bytes[index] ^= UInt8.random(in: 1...255, using: &random)
            }
            var arrival = leaves + conditions.delay
            if conditions.jitter > .zero { arrival += conditions.jitter * Double.random(in: 0..<1, using: &random) }
            if happens(conditions.reordering, &random) {
                arrival += conditions.reorderingDelay * Double.random(in: 0..<1, using: &random)
            } else {
                arrival = max(arrival, lastArrival)
                lastArrival = arrival
            }
            return (arrival, bytes)
        }
    }

    private func happens(_ share: Double, _ random: inout SeededGenerator) -> Bool {
        share > 0 && Double.random(in: 0..<1, using: &random) < share
    }
}
