internal import SwarmBase

/// Permissions, channels and the data that needs them (RFC 8656 §9–12).
extension TURNAllocation {
    /// Sends a datagram from the relayed address.
    mutating func relay(_ payload: [UInt8], to peer: TransportAddress, for user: TURNUser, _ now: Instant) {
        guard phase == .allocated, payload.count <= configuration.maximumPayload, peer.port != 0,
            relayed.contains(where: { $0.address.isIPv6 == peer.address.isIPv6 })
        else { return }
        if peers[peer] == nil {
            guard peers.count < configuration.maximumPeers else { return }
            peers[peer] = Peer()
        }
        peers[peer]?.users.insert(user)
        switch permissions[peer.address]?.state {
        case nil:
            permissions[peer.address] = Permission(waiting: [(peer, payload)])
            send(.permission(peer.address), now)
            updateDeadline()
        case .requested:
            permissions[peer.address]?.waiting.append((peer, payload))
            if let count = permissions[peer.address]?.waiting.count, count > configuration.maximumWaiting {
                permissions[peer.address]?.waiting.removeFirst()
            }
        case .refused:
            break
        case .granted:
            emit(payload, to: peer, now)
        }
    }

    /// Sends what may be sent: by the channel, or before there is one in an indication, which is never repeated.
    private mutating func emit(_ payload: [UInt8], to peer: TransportAddress, _ now: Instant) {
        if let known = peers[peer], known.isBound, let number = known.channel {
            return emit(ChannelData(number: number, payload: payload).encoded(isPadded: isStream), now)
        }
        let id = STUNTransactionID.random(using: &entropy)
        let message = STUNMessage(
            .indication, method: .send, transactionID: id, attributes: [.xorPeerAddress(peer), .data(payload)])
        emit(message.encoded(fingerprint: false), now)
        // Checks go to many peers, data to the one that was chosen.
        if let first = payload.first, first >= 4 { bindChannel(to: peer, now) }
    }

    // MARK: Permissions

    mutating func grant(_ address: IPAddress, _ now: Instant) {
        guard let permission = permissions[address] else { return }
        permissions[address] = Permission(state: .granted, refreshAt: now + configuration.permissionRefreshInterval)
        for (peer, payload) in permission.waiting { emit(payload, to: peer, now) }
    }

    mutating func refuse(_ address: IPAddress, _ now: Instant) {
        guard permissions[address] != nil else { return }
        permissions[address] = Permission(state: .refused(until: now + configuration.refusalLifetime))
    }

    /// Keeps the permissions that somebody needs.
    mutating func refreshPermissions(_ now: Instant) {
        for (address, permission) in permissions.sorted(by: { $0.key < $1.key }) {
            if case .refused(let until) = permission.state, until <= now { permissions[address] = nil }
            guard let due = permission.refreshAt, due <= now else { continue }
            if peers.contains(where: { $0.key.address == address && !$0.value.users.isEmpty }) {
                // It holds for another minute while the answer is awaited.
                permissions[address]?.refreshAt = nil
                send(.permission(address), now)
            } else {
                permissions[address] = nil
            }
        }
    }

    // MARK: Channels

    private mutating func bindChannel(to peer: TransportAddress, _ now: Instant) {
        guard let known = peers[peer], !known.isBound, known.retryAt ?? .zero <= now else { return }
        guard let number = known.channel ?? freeChannel() else { return }
        guard !awaits(.channel(peer, number)) else { return }
        channels[number] = peer
        peers[peer]?.channel = number
        peers[peer]?.quarantinedUntil = now + configuration.channelQuarantine
        send(.channel(peer, number), now)
        updateDeadline()
    }

    private mutating func freeChannel() -> ChannelNumber? {
        for _ in ChannelNumber.range {
            let number = ChannelNumber(rawValue: nextChannel)
            nextChannel =
                nextChannel == ChannelNumber.range.upperBound ? ChannelNumber.range.lowerBound : nextChannel + 1
            if let number, channels[number] == nil { return number }
        }
        return nil
    }

    mutating func bound(_ number: ChannelNumber, to peer: TransportAddress, _ now: Instant) {
        guard peers[peer]?.channel == number else { return }
        peers[peer]?.isBound = true
        peers[peer]?.retryAt = nil
        peers[peer]?.channelRefresh = now + configuration.channelRefreshInterval
        peers[peer]?.boundUntil = now + .seconds(600)
        peers[peer]?.quarantinedUntil = now + configuration.channelQuarantine
    }

    /// Keeps the channels that somebody needs, and takes back the numbers of those that ended long ago.
    mutating func refreshChannels(_ now: Instant) {
        for (address, peer) in peers.sorted(by: { $0.key < $1.key }) {
            guard let number = peer.channel else { continue }
            if !peer.users.isEmpty, let due = peer.channelRefresh, due <= now {
                peers[address]?.channelRefresh = nil
                send(.channel(address, number), now)
            }
            if peer.isBound, let until = peer.boundUntil, until <= now {
                peers[address]?.isBound = false
                peers[address]?.boundUntil = nil
            }
            if peer.users.isEmpty, let until = peer.quarantinedUntil, until <= now {
                channels[number] = nil
                peers[address] = nil
            }
        }
    }
}
