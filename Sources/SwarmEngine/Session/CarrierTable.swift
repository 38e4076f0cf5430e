/// A value for each carrier.
struct CarrierTable<Value> {
    private var connection: Value
    private var relay: Value
    private var mesh: Value

    init(_ value: Value) { (connection, relay, mesh) = (value, value, value) }

    subscript(carrier: Carrier) -> Value {
        _read {
            switch carrier {
            case .connection: yield connection
            case .relay: yield relay
            case .mesh: yield mesh
            }
        }
        _modify {
            switch carrier {
            case .connection: yield &connection
            case .relay: yield &relay
            case .mesh: yield &mesh
            }
        }
    }
}

extension CarrierTable: Sendable where Value: Sendable {}

/// Some of the carriers.
struct CarrierSet: OptionSet, Sendable {
    let rawValue: UInt8

    init(rawValue: UInt8) { self.rawValue = rawValue }

    init(_ carrier: Carrier) {
        switch carrier {
        case .connection: rawValue = 1
        case .relay: rawValue = 2
        case .mesh: rawValue = 4
        }
    }
}
