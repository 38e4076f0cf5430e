/// What there is once for each of the two DHTs, in an order of its own: IPv4 before IPv6.
///
/// A dictionary's order is another one in each process, and what is done first decides what is drawn and sent first.
struct PerFamily<Value> {
    private var ipv4: Value?
    private var ipv6: Value?

    init() {}

    subscript(family: AddressFamily) -> Value? {
        // Lent, not copied: a table is large, and looked into with each message.
        _read {
            switch family {
            case .ipv4: yield ipv4
            case .ipv6: yield ipv6
            }
        }
        _modify {
            switch family {
            case .ipv4: yield &ipv4
            case .ipv6: yield &ipv6
            }
        }
    }

    /// The families that have one.
    var families: [AddressFamily] { AddressFamily.allCases.filter { self[$0] != nil } }

    var values: [Value] { [ipv4, ipv6].compactMap(\.self) }
}

extension PerFamily: Sendable where Value: Sendable {}
