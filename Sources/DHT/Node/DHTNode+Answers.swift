import SwarmBase

/// What others ask.
extension DHTNode {
    mutating func answer(
        _ query: KRPCQuery, _ message: KRPCMessage, from source: TransportAddress, size: Int, now: Instant
    ) {
        reachability.queried(from: source, now: now)
        guard !reachability.isReadOnly else { return }
        let family = AddressFamily(source.address)
        guard let own = families[family]?.ownID else { return }
        let body: KRPCMessage.Body
        do throws(KRPCError) {
            body = .response(try respond(to: query, from: source, size: size, own: own, now: now))
        } catch {
            body = .error(error)
        }
        send(
            KRPCMessage(transaction: message.transaction, body: body, observed: source), to: source, isAnswer: true,
            now: now)
        guard !message.isReadOnly else { return }
        consider(NodeContact(id: query.sender, address: source), now: now)
    }

    /// A node that asks may be worth a place: it gets one when it answers.
    private mutating func consider(_ contact: NodeContact, now: Instant) {
        let family = AddressFamily(contact.address.address)
        guard families[family]?.table.queried(by: contact, now: now) == true, transactions.pings < 32,
            curiosity.take(now: now)
        else { return }
        _ = ask(.ping, of: contact.address, for: .ping(contact), now: now)
    }

    private mutating func respond(
        to query: KRPCQuery, from source: TransportAddress, size: Int, own: NodeID, now: Instant
    ) throws(KRPCError) -> KRPCResponse {
        var response = KRPCResponse(sender: own)
        switch query.method {
        case .ping:
            break
        case .findNode(let target), .unknown(let target):
            addNodes(near: target, for: query, from: source, to: &response)
        case .getPeers(let infoHash):
            addNodes(near: infoHash, for: query, from: source, to: &response)
            if peers.takes(infoHash, from: source.address) {
                response.token = tokens.token(for: source.address, target: infoHash)
            }
            let family = AddressFamily(source.address)
            // What there is room for, in a datagram and in proportion to the query.
            let room = min(KRPCMessage.largestAnswer, size * configuration.service.amplification)
            let used = 120 + response.nodes.count * 26 + response.nodes6.count * 38
            response.peers = peers.peers(
                of: infoHash, family: family, atMost: max(0, room - used) / (family.endpointSize + 3),
                entropy: &entropy, now: now)
        case .announcePeer(let infoHash, let port, let token):
            guard tokens.accepts(token, from: source.address, target: infoHash) else { throw .wrongToken }
            let peer = TransportAddress(source.address, port: port ?? source.port)
            peers.announce(peer, for: infoHash, own: own, now: now)
        case .get(let target, let newerThan):
            addNodes(near: target, for: query, from: source, to: &response)
            response.token = tokens.token(for: source.address, target: target)
            add(items.item(at: target, now: now), newerThan: newerThan, to: &response)
        case .put(let item, let cas, let token):
            guard item.value.count <= DHTItem.largestValue else { throw .valueTooBig }
            if case .mutable(let item) = item, item.salt.count > MutableItem.longestSalt { throw .saltTooBig }
            guard tokens.accepts(token, from: source.address, target: item.target) else { throw .wrongToken }
            if case .mutable(let item) = item, !item.isAuthentic { throw .wrongSignature }
            try items.put(item, cas: cas, from: source.address, own: own, now: now)
        case .sampleInfoHashes(let target):
            addNodes(near: target, for: query, from: source, to: &response)
            response.samples = peers.samples(atMost: 20, entropy: &entropy)
            // The same samples for as long as the secret of the tokens.
            response.sampled = (Int64(peers.infoHashCount), 300)
        }
        return response
    }

    private func add(_ item: DHTItem?, newerThan: Int64?, to response: inout KRPCResponse) {
        switch item {
        case .immutable(let value):
            response.value = value
        case .mutable(let item):
            response.sequence = item.sequence
            guard newerThan.map({ item.sequence > $0 }) ?? true else { return }
            response.key = item.key
            response.signature = item.signature
            response.value = item.value
        case nil:
            break
        }
        // An item and eight nodes of each family would be more than a packet holds.
        if let value = response.value, value.count + response.nodes.count * 26 + response.nodes6.count * 38 > 1_150 {
            response.nodes6 = []
            if value.count + response.nodes.count * 26 > 1_150 { response.nodes = [] }
        }
    }

    private func addNodes(
        near target: NodeID, for query: KRPCQuery, from source: TransportAddress, to response: inout KRPCResponse
    ) {
        let wants = query.wants.isEmpty ? [AddressFamily(source.address)] : query.wants
        response.hasNodes = true
        // Local addresses say nothing to who is not local.
        func near(_ family: AddressFamily) -> [NodeContact] {
            guard wants.contains(family),
                let nodes = families[family]?.table.closest(to: target, count: configuration.search.closest)
            else { return [] }
            return source.address.isLocal ? nodes : nodes.filter { !$0.address.address.isLocal }
        }
        response.nodes = near(.ipv4)
        response.nodes6 = near(.ipv6)
    }
}
