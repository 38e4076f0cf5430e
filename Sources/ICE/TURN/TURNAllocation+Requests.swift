internal import SwarmBase

/// Requests and their answers: the long-term credential mechanism (RFC 8489 §9.2) and what TURN adds.
extension TURNAllocation {
    mutating func send(_ purpose: Purpose, challenges: Int = 0, _ now: Instant) {
        let method: STUNMethod
        var attributes: [STUNAttribute]
        switch purpose {
        case .allocate:
            method = .allocate
            attributes = [.requestedTransport(17), .lifetime(seconds(configuration.lifetime))]
            switch server.families {
            case .ipv4: break
            case .ipv6: attributes.append(.requestedAddressFamily(isIPv6: true))
            case .both: attributes.append(.additionalAddressFamily)
            }
        case .refresh:
            (method, attributes) = (.refresh, [.lifetime(seconds(configuration.lifetime))])
        case .release:
            (method, attributes) = (.refresh, [.lifetime(0)])
        case .permission(let address):
            (method, attributes) = (.createPermission, [.xorPeerAddress(TransportAddress(address, port: 0))])
        case .channel(let peer, let number):
            (method, attributes) = (.channelBind, [.channelNumber(number.rawValue), .xorPeerAddress(peer)])
        }
        let id = STUNTransactionID.random(using: &entropy)
        if let challenge { attributes += challenge.attributes }
        let datagram = STUNMessage(.request, method: method, transactionID: id, attributes: attributes)
            .encoded(key: challenge?.key, integrity: challenge?.integrity ?? .sha1)
        let wait = isStream ? configuration.streamTimeout : configuration.initialRetransmissionTimeout
        requests[id] = Request(
            purpose: purpose, datagram: datagram, challenge: challenge, challenges: challenges, due: now + wait)
        emit(datagram, now)
    }

    private func seconds(_ duration: Duration) -> UInt32 { UInt32(clamping: duration.components.seconds) }

    func awaits(_ purpose: Purpose) -> Bool { requests.values.contains { $0.purpose == purpose } }

    /// Sends requests again that are due, and gives up those that were sent often enough.
    mutating func retransmit(_ now: Instant) {
        // In an order that does not depend on hashes.
        for (id, request) in requests.filter({ $0.value.due <= now }).sorted(by: { $0.key < $1.key }) {
            // Giving up one may end all.
            guard requests[id] != nil else { continue }
            if isStream || request.sends >= configuration.maximumSends {
                requests[id] = nil
                giveUp(request, now)
                continue
            }
            let sends = request.sends + 1
            let factor = sends >= configuration.maximumSends ? configuration.finalWaitFactor : 1 << min(sends - 1, 20)
            requests[id]?.sends = sends
            requests[id]?.due = now + configuration.initialRetransmissionTimeout * factor
            emit(request.datagram, now)
        }
    }

    /// Nobody has answered.
    private mutating func giveUp(_ request: Request, _ now: Instant) {
        switch request.purpose {
        case .allocate, .refresh: fail(.unreachable, now)
        case .release: phase == .releasing ? endRelease(now) : fail(.unreachable, now)
        // What is sent next asks again.
        case .permission(let address): permissions[address] = nil
        case .channel(let peer, _): peers[peer]?.retryAt = now + configuration.refusalLifetime
        }
    }

    /// Takes one whole message of the server.
    ///
    /// - Returns: whether it was for this client.
    @discardableResult
    mutating func handle(frame: [UInt8], _ now: Instant) -> Bool {
        guard let first = frame.first else { return false }
        if first >= 4 {
            guard let data = ChannelData(parsing: frame) else { return false }
            if let peer = channels[data.number] { deliver(data.payload, from: peer) }
            return true
        }
        guard let received = try? ReceivedSTUNMessage(parsing: frame) else { return false }
        let message = received.message
        switch message.messageClass {
        case .request:
            return false
        case .indication:
            guard message.method == .data else { return false }
            if let peer = message.peerAddress, let payload = message.data { deliver(payload, from: peer) }
            return true
        case .success, .error:
            guard let request = requests[message.transactionID] else { return false }
            handle(received, to: request, now)
            updateDeadline()
            return true
        }
    }

    private mutating func deliver(_ payload: [UInt8], from peer: TransportAddress) {
        guard let relay = relayed.first(where: { $0.address.isIPv6 == peer.address.isIPv6 }) else { return }
        received.append(TURNReceived(relay: relay, peer: peer, payload: payload))
    }

    private mutating func handle(_ received: ReceivedSTUNMessage, to request: Request, _ now: Instant) {
        let answer = received.message
        let isAuthentic = request.challenge.map { received.isAuthentic(key: $0.key, $0.integrity) } ?? true
        // A server that cannot check our integrity cannot make its own: such errors come without (RFC 8489 §9.2.4).
        let isBare = answer.messageClass == .error && !received.hasIntegrity
        guard isAuthentic || isBare, received.unknownRequiredAttributes.isEmpty else { return }
        requests[answer.transactionID] = nil
        if answer.messageClass == .success {
            succeed(request, answer, now)
        } else {
            handleError(answer, to: request, now)
        }
    }

    private mutating func succeed(_ request: Request, _ answer: STUNMessage, _ now: Instant) {
        switch request.purpose {
        case .allocate:
            allocated(answer, now)
        case .refresh:
            setLifetime(answer, now)
        case .release:
            released(now)
        case .permission(let address):
            grant(address, now)
        case .channel(let peer, let number):
            bound(number, to: peer, now)
        }
    }

    private mutating func allocated(_ answer: STUNMessage, _ now: Instant) {
        guard let mapped = answer.reflexiveAddress, mapped.port != 0 else { return fail(.refused(code: 0), now) }
        for address in answer.relayedAddresses where address.port != 0 {
            guard !relayed.contains(where: { $0.address.isIPv6 == address.address.isIPv6 }) else { continue }
            relayed.append(address)
        }
        guard !relayed.isEmpty else { return fail(.refused(code: 0), now) }
        phase = .allocated
        failures = 0
        clearings = 0
        setLifetime(answer, now)
        guard !users.isEmpty else {
            // Nobody was told of it, so nobody loses it.
            relayed = []
            return giveBack(now)
        }
        for address in relayed { events.append(.allocated(id, relayed: address, mapped: mapped)) }
    }

    private mutating func setLifetime(_ answer: STUNMessage, _ now: Instant) {
        let lifetime = answer.lifetime.map { Duration.seconds(Int64($0)) } ?? configuration.lifetime
        // 0 would mean that it is gone; less than that no server can mean.
        guard lifetime >= .seconds(2) else { return fail(.allocationMismatch, now) }
        expiresAt = now + lifetime
        refreshAt = now + max(lifetime / 2, lifetime - configuration.refreshMargin)
    }

    private mutating func released(_ now: Instant) {
        if phase == .clearing {
            phase = .allocating
            send(.allocate, now)
        } else {
            endRelease(now)
        }
    }

    private mutating func handleError(_ answer: STUNMessage, to request: Request, _ now: Instant) {
        let code = answer.errorCode ?? 0
        switch code {
        case 401, 438:
            // The password was refused, unless another realm than before asks for it.
            let isRefused = code == 401 && request.challenge != nil && answer.realm == request.challenge?.realm
            guard !isRefused, request.challenges < configuration.maximumChallenges,
                let new = LongTermChallenge(answer, credentials: server.credentials, realm: challenge?.realm)
            else { return fail(request.purpose, .unauthorized, now) }
            challenge = new
            send(request.purpose, challenges: request.challenges + 1, now)
        case 300 where request.purpose == .allocate:
            guard redirects < configuration.maximumRedirects, let alternate = answer.alternateServer,
                alternate.port != 0, alternate != address
            else { return fail(.refused(code: code), now) }
            redirect(to: alternate, now)
        case 437:
            mismatched(request.purpose, now)
        default:
            fail(request.purpose, Self.failure(code), now)
        }
    }

    private static func failure(_ code: UInt16) -> TURNFailure {
        switch code {
        case 486: .quotaReached
        case 508: .insufficientCapacity
        default: .refused(code: code)
        }
    }

    /// 437: on Allocate another allocation of this socket exists, perhaps of an earlier run of the program on this port:
    /// it is given back first. On anything else ours is gone (RFC 8656 §7.4, §8.3).
    private mutating func mismatched(_ purpose: Purpose, _ now: Instant) {
        switch purpose {
        case .allocate:
            guard clearings == 0 else { return fail(.allocationMismatch, now) }
            clearings += 1
            phase = .clearing
            send(.release, now)
        case .release:
            released(now)
        case .refresh, .permission, .channel:
            fail(.allocationMismatch, now)
        }
    }

    /// A request was refused: the allocation is lost, or only what the request was for.
    private mutating func fail(_ purpose: Purpose, _ reason: TURNFailure, _ now: Instant) {
        switch purpose {
        case .allocate, .refresh:
            fail(reason, now)
        case .release:
            phase == .releasing ? endRelease(now) : fail(reason, now)
        case .permission(let address):
            if reason == .refused(code: 403) { events.append(.peerRefused(id, address)) }
            refuse(address, now)
        case .channel(let peer, _):
            // Indications go on doing, as far as the permission allows.
            peers[peer]?.retryAt = now + configuration.refusalLifetime
        }
    }
}
