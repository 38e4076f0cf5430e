import Magnet
import SwarmBase

/// The datagrams of a UDP tracker (BEP 15), as a client writes and reads them.
enum UDPTrackerMessage {
    /// What marks a request to connect.
    static let protocolID: UInt64 = 0x417_2710_1980

    enum Action {
        static let connect: UInt32 = 0
        static let announce: UInt32 = 1
        static let scrape: UInt32 = 2
        static let error: UInt32 = 3
    }

    static func connect(transaction: UInt32) -> [UInt8] {
        var writer = ByteWriter(capacity: 16)
        writer.integer(protocolID)
        writer.integer(Action.connect)
        writer.integer(transaction)
        return writer.bytes
    }

    static func announce(_ announce: Announce, connection: UInt64, transaction: UInt32) -> [UInt8] {
        var writer = ByteWriter(capacity: 98)
        writer.integer(connection)
        writer.integer(Action.announce)
        writer.integer(transaction)
        writer.append(announce.infoHash.bytes)
        writer.append(announce.peerID.bytes)
        writer.integer(UInt64(0))  // downloaded
        writer.integer(announce.left)
        writer.integer(UInt64(0))  // uploaded
        writer.integer(announce.event.rawValue)
        writer.integer(UInt32(0))  // our address is the datagram's
        writer.integer(announce.key)
        writer.integer(UInt32(bitPattern: Int32(clamping: announce.numberWanted)))
        writer.integer(announce.port)
        return writer.bytes
    }

    /// How many swarms one datagram may ask for.
    static let mostScraped = 74

    static func scrape(_ hashes: [InfoHash], connection: UInt64, transaction: UInt32) -> [UInt8] {
        var writer = ByteWriter(capacity: 16 + 20 * hashes.count)
        writer.integer(connection)
        writer.integer(Action.scrape)
        writer.integer(transaction)
        for hash in hashes.prefix(mostScraped) { writer.append(hash.bytes) }
        return writer.bytes
    }

    enum Reply: Equatable {
        case connected(UInt64)
        case announced(AnnounceReply)
        /// For each swarm that was asked for, in order.
        case scraped([ScrapeReply])
        case error(String)
    }

    /// Reads an answer.
    ///
    /// - Parameter isIPv6: contacts have 18 bytes when the tracker was asked over IPv6.
    /// - Returns: `nil` for what is none; the transaction says which request it is for.
    static func parse(_ datagram: [UInt8], isIPv6: Bool) -> (transaction: UInt32, reply: Reply)? {
        var reader = ByteReader(datagram)
        guard let action: UInt32 = reader.integer(), let transaction: UInt32 = reader.integer() else { return nil }
        switch action {
        case Action.connect:
            guard let connection: UInt64 = reader.integer() else { return nil }
            return (transaction, .connected(connection))
        case Action.announce:
            guard let interval: UInt32 = reader.integer(), let leechers: UInt32 = reader.integer(),
                let seeders: UInt32 = reader.integer()
            else { return nil }
            let peers = TransportAddress.compactList(
                reader.rest(), size: isIPv6 ? 18 : 6, limit: AnnounceReply.mostPeers)
            return (
                transaction,
                .announced(
                    AnnounceReply(
                        interval: .seconds(Int64(interval)), seeders: Int(seeders), leechers: Int(leechers),
                        peers: peers))
            )
        case Action.scrape:
            var replies: [ScrapeReply] = []
            while replies.count < mostScraped, let seeders: UInt32 = reader.integer(),
                let completed: UInt32 = reader.integer(), let leechers: UInt32 = reader.integer()
            {
                replies.append(
                    ScrapeReply(
                        complete: Int64(seeders), incomplete: Int64(leechers), downloaded: Int64(completed)))
            }
            return (transaction, .scraped(replies))
        case Action.error:
            let text = String(decoding: reader.rest().prefix(800), as: UTF8.self)
            return (transaction, .error(String(text.unicodeScalars.prefix(200))))
        default:
            return nil
        }
    }
}
