import DHT
import Gun
import SwarmBase
import SwarmTransport
import Tracker

/// The metrics in Prometheus' text format 0.0.4.
enum MetricsText {
    static func write(
        status: SupernodeStatus, core: borrowing GunRelay, expiredInStore: Int, tracker: TrackerServer.Counters,
        http: HTTPServerCounters, udp: UDPPortCounters, stunRefused: Int, dht: DHTNode?, storeFailures: Int
    ) -> String {
        var text = ""
        let relay = core.counters
        func gauge(_ name: String, _ help: String, _ value: Int) { add(name, "gauge", help, "\(value)") }
        func counter(_ name: String, _ help: String, _ value: Int) { add(name, "counter", help, "\(value)") }
        func add(_ name: String, _ type: String, _ help: String, _ value: String) {
            text += "# HELP swarm_\(name) \(help)\n# TYPE swarm_\(name) \(type)\nswarm_\(name) \(value)\n"
        }
        add("uptime_seconds", "gauge", "Time since the start.", "\(status.uptime.milliseconds / 1000)")
        gauge("healthy", "1 when the store took the last write.", status.isHealthy ? 1 : 0)

        gauge("http_connections", "Open TCP connections, WebSockets included.", status.connections)
        counter("http_connections_total", "Accepted TCP connections.", http.connectionsAccepted)
        counter("http_connections_refused_total", "TCP connections refused by a limit.", http.connectionsRefused)
        counter("http_requests_total", "Plain HTTP requests.", http.requests)
        counter("http_websockets_total", "Accepted WebSockets.", http.webSocketsAccepted)
        counter("http_websockets_refused_total", "Refused WebSockets.", http.webSocketsRefused)

        gauge("gun_links", "Open GUN links.", status.gunLinks)
        gauge("gun_subscribed_souls", "Nodes that someone is subscribed to.", status.subscribedSouls)
        gauge("gun_memory_bytes", "Size of the graph in memory, near enough.", core.memoryBytes)
        gauge("gun_memory_limit_bytes", "What the graph in memory may take.", core.configuration.memoryBytes)
        gauge("gun_queued_bytes", "Bytes that wait for readers.", core.queuedBytes)
        gauge("gun_unstored_bytes", "Bytes that wait to be stored.", core.unstoredBytes)
        gauge("gun_deferred_records", "Records that wait for the clock.", core.deferredCount)
        gauge("gun_peers_linked", "Configured relays that are linked.", core.linkedPeers)
        gauge(
            "gun_peers_pending_records", "Records that configured relays are still to be told.", core.pendingFederation)
        counter("gun_pauses_total", "Times a link was left unread for being too fast.", relay.pauses)
        counter("gun_quota_refusals_total", "Puts refused as their address had written too much.", relay.quotaRefusals)
        counter("gun_slow_readers_total", "Links closed because they did not read.", relay.slowReaders)
        counter("gun_records_refused_total", "Records that the rules of user space refused.", relay.refusedRecords)
        counter("gun_records_late_total", "Records of souls that forget, come too late.", relay.passedRecords)
        counter("gun_application_messages_total", "Messages of applications passed on.", relay.applicationMessages)
        counter("gun_answers_repeated_total", "Answers that had come from another peer.", relay.repeatedAnswers)
        counter("gun_slices_total", "Slices read for long answers and for ranges.", relay.slices)
        counter("gun_nodes_expired_total", "Nodes that left memory as their time was over.", relay.expiredNodes)
        counter("gun_store_nodes_expired_total", "Nodes that left the store as their time was over.", expiredInStore)
        counter("gun_federated_puts_total", "Puts sent to configured relays.", relay.federatedPuts)
        counter("gun_federated_records_total", "Records sent to configured relays.", relay.federatedRecords)
        counter("gun_federation_refusals_total", "Puts that a configured relay refused.", relay.federationRefusals)
        counter("gun_hop_refusals_total", "Messages come through too many relays to be passed on.", relay.hopRefusals)
        counter("gun_frames_received_total", "Frames received.", relay.framesReceived)
        counter("gun_frames_sent_total", "Frames sent.", relay.framesSent)
        counter("gun_received_bytes_total", "Bytes of frames received.", relay.bytesReceived)
        counter("gun_sent_bytes_total", "Bytes of frames sent.", relay.bytesSent)
        counter("gun_puts_total", "Puts.", relay.puts)
        counter("gun_puts_refused_total", "Puts refused whole.", relay.refusedPuts)
        counter("gun_gets_total", "Queries.", relay.gets)
        counter("gun_misses_total", "Queries for what is nowhere.", relay.misses)
        counter("gun_records_accepted_total", "Records that replaced what was held.", relay.acceptedRecords)
        counter("gun_records_ignored_total", "Records that changed nothing.", relay.ignoredRecords)
        counter("gun_records_deferred_total", "Records that waited for the clock.", relay.deferredRecords)
        counter("gun_frames_broken_total", "Frames that were broken or over a limit.", relay.brokenFrames)
        counter("gun_messages_duplicate_total", "Messages seen before.", relay.duplicateMessages)
        counter("gun_messages_limited_total", "Messages refused by a rate limit.", relay.limitedMessages)
        counter("gun_busy_refusals_total", "Messages left unanswered as storage was behind.", relay.busyRefusals)
        counter("gun_nodes_evicted_total", "Nodes that left memory.", relay.evictedNodes)
        counter("gun_store_failures_total", "Failed reads and writes of the store.", storeFailures)

        gauge("tracker_links", "Open tracker sockets.", status.trackerLinks)
        gauge("tracker_swarms", "Swarms with peers.", status.swarms)
        gauge("tracker_peers", "Peers in all swarms.", status.trackerPeers)
        counter("tracker_announces_total", "Announces.", tracker.announces)
        counter("tracker_scrapes_total", "Scrapes.", tracker.scrapes)
        counter("tracker_offers_forwarded_total", "Offers brought to a peer.", tracker.offersForwarded)
        counter("tracker_answers_forwarded_total", "Answers brought back.", tracker.answersForwarded)
        counter("tracker_answers_refused_total", "Answers that nobody had asked for.", tracker.answersRefused)
        counter("tracker_takeovers_refused_total", "Announces for a peer of another socket.", tracker.takeoversRefused)
        counter("tracker_peers_refused_total", "Peers for whom there was no room.", tracker.peersRefused)
        counter("tracker_links_refused_total", "Sockets for which there was no room.", tracker.linksRefused)
        counter("tracker_links_closed_total", "Sockets closed for what they did.", tracker.linksClosed)
        counter("tracker_messages_malformed_total", "Messages that are not of the protocol.", tracker.messagesMalformed)
        counter("tracker_messages_limited_total", "Messages refused by a rate limit.", tracker.messagesRateLimited)
        counter("tracker_peers_expired_total", "Peers that stopped announcing.", tracker.peersExpired)

        counter("stun_requests_total", "Binding requests answered.", status.stunRequests)
        counter("stun_refused_total", "Datagrams beyond the rate limit.", stunRefused)
        if let dht {
            gauge("dht_nodes", "Nodes of the DHT that answer, IPv4.", dht.nodeCount(.ipv4))
            gauge("dht_nodes_ipv6", "Nodes of the DHT that answer, IPv6.", dht.nodeCount(.ipv6))
            gauge("dht_infohashes", "Infohashes that peers are kept for.", dht.stored.infoHashes)
            gauge("dht_items", "Items that are kept.", dht.stored.items)
            counter("dht_queries_received_total", "Queries of others.", dht.counters.queriesReceived)
            counter("dht_queries_sent_total", "Queries of ours.", dht.counters.queriesSent)
            counter("dht_answers_total", "Answers to others.", dht.counters.answersSent)
            counter("dht_dropped_total", "Datagrams over a limit.", dht.counters.dropped)
            counter("dht_malformed_total", "Datagrams that are no message.", dht.counters.malformed)
        }
        counter("udp_received_total", "Datagrams received.", udp.datagramsReceived)
        counter("udp_received_bytes_total", "Bytes of datagrams received.", udp.bytesReceived)
        counter("udp_sent_total", "Datagrams sent.", udp.datagramsSent)
        counter("udp_sent_bytes_total", "Bytes of datagrams sent.", udp.bytesSent)
        counter("udp_send_errors_total", "Datagrams that the system refused.", udp.sendErrors)
        return text
    }
}
