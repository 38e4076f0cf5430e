import Gun
import JSON
import SwarmBase
import SwarmTransport
import Tracker

/// The operator's view as JSON, at `/status.json`: what there is, how much a second, who talks most.
struct StatusReport {
    /// How many talkers are told of.
    private static let mostTalkers = 20

    var status: SupernodeStatus
    var relay: GunRelayCounters
    var relayMemory: Int
    var tracker: TrackerServer.Counters
    var http: HTTPServerCounters
    var residentBytes: Int
    var history: StatusHistory
    var talkers: [(kind: String, connection: WebSocketConnection)]
    var now: Instant

    var json: JSONValue {
        [
            "uptime": .number(seconds(status.uptime)), "healthy": .bool(status.isHealthy),
            "now": [
                "connections": .integer(status.connections), "gun_links": .integer(status.gunLinks),
                "tracker_links": .integer(status.trackerLinks), "swarms": .integer(status.swarms),
                "peers": .integer(status.trackerPeers), "souls": .integer(status.subscribedSouls),
                "graph_bytes": .integer(relayMemory), "resident_bytes": .integer(residentBytes),
            ],
            "rates": [
                "announces": .number(history.rate(\.announces)), "puts": .number(history.rate(\.puts)),
                "bytes_received": .number(history.rate(\.bytesReceived)),
                "bytes_sent": .number(history.rate(\.bytesSent)), "requests": .number(history.rate(\.requests)),
            ],
            "totals": [
                "announces": .integer(tracker.announces), "offers_forwarded": .integer(tracker.offersForwarded),
                "answers_forwarded": .integer(tracker.answersForwarded), "puts": .integer(relay.puts),
                "puts_refused": .integer(relay.refusedPuts), "gets": .integer(relay.gets),
                "limited": .integer(relay.limitedMessages + tracker.messagesRateLimited),
                "broken": .integer(relay.brokenFrames + tracker.messagesMalformed),
                "bytes_received": .integer(relay.bytesReceived), "bytes_sent": .integer(relay.bytesSent),
                "stun_requests": .integer(status.stunRequests), "requests": .integer(http.requests),
                "connections_refused": .integer(http.connectionsRefused + http.webSocketsRefused),
            ],
            "history": .array(history.samples.map(point)), "talkers": .array(topTalkers),
        ]
    }

    private func point(_ sample: StatusHistory.Sample) -> JSONValue {
        [
            "age": .number(seconds(now - sample.at)), "announces": .integer(sample.announces),
            "puts": .integer(sample.puts), "bytes_received": .integer(sample.bytesReceived),
            "bytes_sent": .integer(sample.bytesSent), "connections": .integer(sample.connections),
            "resident_bytes": .integer(sample.residentBytes),
        ]
    }

    private var topTalkers: [JSONValue] {
        let sorted = talkers.sorted { $0.connection.bytesReceived > $1.connection.bytesReceived }
        return sorted.prefix(Self.mostTalkers).map { kind, connection in
            [
                "kind": .string(kind), "address": .string(connection.remoteAddress?.description ?? ""),
                "bytes_received": .integer(connection.bytesReceived), "bytes_sent": .integer(connection.bytesSent),
                "messages_received": .integer(connection.messagesReceived),
                "messages_sent": .integer(connection.messagesSent),
                "rtt_ms": connection.roundTripTime.map { .number($0.milliseconds) } ?? .null,
            ]
        }
    }

    private func seconds(_ duration: Duration) -> Double { (duration.milliseconds / 100).rounded() / 10 }
}
