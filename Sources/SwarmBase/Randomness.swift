/// A repeatable generator (SplitMix64) for tests and simulations: the same seed gives the same numbers.
///
/// Not for keys: production code hands `SystemRandomNumberGenerator` to the cores.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

extension RandomNumberGenerator {
    /// `count` random bytes.
    public mutating func bytes(_ count: Int) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(count)
        while result.count < count {
            var word = next()
            for _ in 0..<min(8, count - result.count) {
                result.append(UInt8(truncatingIfNeeded: word))
                word >>= 8
            }
        }
        return result
    }
}

/// The generator a core keeps: either the system's, or a seeded one in tests and simulations.
///
/// Concrete, so that a core needs neither a generic parameter nor an existential to draw a number.
public enum Entropy: RandomNumberGenerator, Sendable {
    case system
    case seeded(SeededGenerator)

    /// Repeatable entropy for tests and simulations.
    public static func seed(_ seed: UInt64) -> Entropy { .seeded(SeededGenerator(seed: seed)) }

    public mutating func next() -> UInt64 {
        switch self {
        case .system:
            var system = SystemRandomNumberGenerator()
            return system.next()
        case .seeded(var generator):
            defer { self = .seeded(generator) }
            return generator.next()
        }
    }

    /// A generator of its own, drawn from this one: for a part that keeps its own stream of numbers.
    public mutating func fork() -> Entropy {
        switch self {
        case .system: .system
        case .seeded: .seed(next())
        }
    }
}
