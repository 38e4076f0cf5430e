import SwarmBase

/// The data channel establishment protocol's two messages (RFC 8832 §5).
enum ControlMessage: Equatable, Sendable {
    case open(DataChannelOptions)
    case ack

    /// Why a message was not understood.
    enum Malformed: Error, Equatable, Sendable {
        case empty
        case unknownType(UInt8)
        case unknownChannelType(UInt8)
        case truncated
        case invalidText
    }

    private static let ackType: UInt8 = 2
    private static let openType: UInt8 = 3

    init(parsing bytes: [UInt8]) throws(Malformed) {
        var reader = ByteReader(bytes)
        guard let type = reader.integer(UInt8.self) else { throw .empty }
        switch type {
        case Self.ackType: self = .ack
        case Self.openType: self = .open(try Self.options(&reader))
        default: throw .unknownType(type)
        }
    }

    private static func options(_ reader: inout ByteReader) throws(Malformed) -> DataChannelOptions {
        guard let type = reader.integer(UInt8.self), let priority = reader.integer(UInt16.self),
            let parameter = reader.integer(UInt32.self), let labelCount = reader.integer(UInt16.self),
            let protocolCount = reader.integer(UInt16.self), let label = reader.bytes(Int(labelCount)),
            let name = reader.bytes(Int(protocolCount))
        else { throw .truncated }
        let reliability: DataChannelOptions.Reliability
        switch type & 0x7f {
        case 0: reliability = .reliable
        case 1: reliability = .maxRetransmits(UInt16(clamping: parameter))
        case 2: reliability = .maxPacketLifeTime(UInt16(clamping: parameter))
        default: throw .unknownChannelType(type)
        }
        guard let label = String(validating: label, as: UTF8.self), let name = String(validating: name, as: UTF8.self)
        else { throw .invalidText }
        return DataChannelOptions(
            label: label, protocol: name, isOrdered: type & 0x80 == 0, reliability: reliability,
            priority: priority)
    }

    /// The message's bytes.
    ///
    /// - Precondition: label and protocol have at most 65,535 bytes each; `open` refused others.
    var bytes: [UInt8] {
        switch self {
        case .ack: return [Self.ackType]
        case .open(let options):
            let label = Array(options.label.utf8)
            let name = Array(options.protocol.utf8)
            var writer = ByteWriter(capacity: 12 + label.count + name.count)
            writer.integer(Self.openType)
            let unordered: UInt8 = options.isOrdered ? 0 : 0x80
            let (type, parameter): (UInt8, UInt32) =
                switch options.reliability {
                case .reliable: (0, 0)
                case .maxRetransmits(let count): (1, UInt32(count))
                case .maxPacketLifeTime(let milliseconds): (2, UInt32(milliseconds))
                }
            writer.integer(type | unordered)
            writer.integer(options.priority)
            writer.integer(parameter)
            writer.integer(UInt16(label.count))
            writer.integer(UInt16(name.count))
            writer.append(label)
            writer.append(name)
            return writer.bytes
        }
    }
}

/// Payload protocol identifiers (RFC 8831 §8).
enum PayloadProtocol {
    static let control: UInt32 = 50
    static let text: UInt32 = 51
    static let binary: UInt32 = 53
    static let emptyText: UInt32 = 56
    static let emptyBinary: UInt32 = 57
}
