import ICE
import SwarmBase
import SwarmEngine

/// What may befall a swarm.
extension SimulatedSwarm {
    // MARK: Cuts

    /// Whether anything passes between two hosts.
    func canReach(_ a: VirtualNetwork.HostID, _ b: VirtualNetwork.HostID) -> Bool {
        islands[a, default: 0] == islands[b, default: 0]
    }

    /// Puts members and servers on an island of their own: nothing passes between it and the rest, streams included.
    ///
    /// - Parameter island: 0 brings them back to the mainland, where the STUN and TURN server always is.
    public func move(members: [SimulatedMember], servers: [SimulatedServer] = [], toIsland island: Int) {
        for host in members.map(\.host) + servers.map(\.host) { islands[host] = island }
        trace.note("island \(island): \(members.map(\.index)) \(servers.map(\.url))", at: now)
        updateCuts()
    }

    /// Lets no datagram pass from one member to another; what goes through servers passes.
    public func cut(from sender: SimulatedMember, to receiver: SimulatedMember) {
        oneWayCuts.insert([sender.index, receiver.index])
        trace.note("cut \(sender.index)>\(receiver.index)", at: now)
        updateCuts()
    }

    /// Takes a cut back.
    public func heal(from sender: SimulatedMember, to receiver: SimulatedMember) {
        oneWayCuts.remove([sender.index, receiver.index])
        trace.note("heal \(sender.index)>\(receiver.index)", at: now)
        updateCuts()
    }

    /// Takes back all cuts and brings everybody to the mainland.
    public func healAll() {
        oneWayCuts = []
        islands = [:]
        trace.note("all cuts are healed", at: now)
        updateCuts()
    }

    private func updateCuts() {
        network.healAll()
        for cut in oneWayCuts { network.cut(from: members[cut[0]].host, to: members[cut[1]].host) }
        let hosts = members.map(\.host) + [iceServer]
        for a in hosts {
            for b in hosts where !canReach(a, b) { network.cut(from: a, to: b) }
        }
        updateStalls()
    }

    // MARK: Changes

    /// Moves a member to another network, as from Wi-Fi to LTE; it notices.
    public func roam(_ member: SimulatedMember, to kind: NATKind) {
        member.natKind = kind
        member.nat = kind == .none ? nil : network.addNAT(kind)
        network.move(member.host, behind: member.nat)
        trace.note("\(member.index) moves to another network: \(kind)", at: now)
        abandonLinks(of: member)
        let run = member.run
        at(now + Self.noticing) { [self] in
            // The system tells of new addresses when they have settled, and which sockets have lost theirs.
            guard member.run == run, member.isRunning else { return }
            dropAbandonedLinks(of: member)
            let addresses = hostAddresses(of: member)
            act(member) { $0.setHostAddresses(addresses, now: self.now) }
        }
    }

    /// How long a member takes to notice that its addresses are others.
    private static let noticing = Duration.milliseconds(30)

    /// A member's NAT forgets its mappings; the member notices nothing.
    public func rebootNAT(of member: SimulatedMember, keepsAddress: Bool) {
        guard let nat = member.nat else { return }
        trace.note("the NAT of \(member.index) reboots\(keepsAddress ? "" : ", with another address")", at: now)
        network.reboot(nat, keepsAddress: keepsAddress)
        if !keepsAddress { abandonLinks(of: member) }
    }

    /// Sets a member's clock.
    ///
    /// - Parameter skew: how many milliseconds it is ahead.
    public func setClock(of member: SimulatedMember, skew: Double) {
        member.clockSkew = skew
        trace.note("the clock of \(member.index) is \(Int(skew)) ms ahead", at: now)
        act(member) { $0.setWallClock(self.wall + skew, now: self.now) }
    }

    /// Sets how long a member's disk takes.
    public func setDiskDelay(of member: SimulatedMember, _ delay: Duration) {
        member.diskDelay = delay
        trace.note("the disk of \(member.index) takes \(delay)", at: now)
    }

    /// A member's application stops to read, or goes on.
    public func setPaused(_ member: SimulatedMember, _ paused: Bool) {
        guard member.isRunning else { return }
        member.isPaused = paused
        trace.note("the application of \(member.index) \(paused ? "pauses" : "goes on")", at: now)
        act(member) { $0.setPaused(paused, now: self.now) }
    }

    /// Sets what a member's access does to packets.
    public func setLink(of member: SimulatedMember, _ conditions: LinkConditions) {
        network.setLink(of: member.host, conditions)
        trace.note("the link of \(member.index) loses \(Int(conditions.loss * 100)) %", at: now)
    }

    /// Throws bytes at a member as anybody on the internet can: noise, or what looks like STUN, DTLS, TURN.
    public func attack(_ member: SimulatedMember) {
        let first = [0x00, 0x01, 0x16, 0x17, 0x40, 0x64, 0xff].randomElement(using: &random) ?? 0
        var bytes = random.bytes(Int.random(in: 1...200, using: &random))
        bytes[0] = UInt8(first)
        inject(bytes, to: member, from: TransportAddress(.v4(0xc633_6401), port: 9))
    }
}
