/// A value for each carrier.
struct CarrierTable<Value> {
    private var connection: Value
    private var relay: Value
    private var mesh: Value

    init(_ value: Value) { (connection, relay, mesh) = (value, value, value) }

    subscript(carrier: Carrier) -> Value {
        get {
            switch carrier {
            case .connection: connection
            case .relay: relay
            case .mesh: mesh
            }
        }
        set {
            switch carrier {
            case .connection: connection = newValue
            case .relay: relay = newValue
            case .mesh: mesh = newValue
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
