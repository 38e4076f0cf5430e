import Foundation

/// Network namespaces of our own (needs root): an internet with the supernode on it, and two members behind port-restricted NATs. The first
/// has two networks to move between. Nothing sent inside can leave it; a round trip takes well below a millisecond.
///
///     member 0: eth0 192.168.1.2 -- NAT 198.18.1.2 -+
///               eth1 192.168.3.2 -- NAT 198.18.3.2 -+- internet, 198.18.0.1
///     member 1: eth0 192.168.2.2 -- NAT 198.18.2.2 -+
final class NetworkLab: ReliabilityPlace {
    let serverAddress = "198.18.0.1"
    private let name = "bench\(ProcessInfo.processInfo.processIdentifier)"
    private var isAway = false

    /// - Throws: `CommandFailure` when this machine gives us no namespaces.
    init() throws {
        do {
            try shell("ip netns add \(name)-net")
            try shell("ip -n \(name)-net link set lo up; ip -n \(name)-net address add 198.18.0.1/32 dev lo")
            try shell("ip netns exec \(name)-net sysctl -qw net.ipv4.ip_forward=1")
            for member in 0...1 {
                try shell("ip netns add \(name)-m\(member); ip -n \(name)-m\(member) link set lo up")
            }
            try addNetwork(1, member: 0, interface: "eth0")
            try addNetwork(2, member: 1, interface: "eth0")
            try addNetwork(3, member: 0, interface: "eth1")
            try leaveNetwork("eth1")
        } catch {
            close()
            throw error
        }
    }

    func within(member: Int?) -> [String] {
        ["ip", "netns", "exec", member.map { "\(name)-m\($0)" } ?? "\(name)-net"]
    }

    func cutDirect(_ members: [BenchProcess], _ isCut: Bool) throws {
        try setDrops(
            isCut
                ? """
                chain cut { type filter hook forward priority 0;
                    iifname { up1, up3 } oifname up2 drop; iifname up2 oifname { up1, up3 } drop;
                }
                """ : "")
    }

    func cutAll(_ members: [BenchProcess], _ isCut: Bool) throws {
        try setDrops(
            isCut
                ? """
                chain cut { type filter hook prerouting priority -300; iifname { up1, up3 } drop; }
                chain back { type filter hook postrouting priority 300; oifname { up1, up3 } drop; }
                """ : "")
    }

    var roam: (() throws -> Void)? {
        { [self] in
            let (from, to) = isAway ? ("eth1", "eth0") : ("eth0", "eth1")
            try leaveNetwork(from)
            let network = isAway ? 1 : 3
            try shell(
                """
                ip -n \(name)-m0 link set \(to) up; ip -n \(name)-m0 address add 192.168.\(network).2/24 dev \(to)
                ip -n \(name)-m0 route add default via 192.168.\(network).1
                """)
            isAway.toggle()
        }
    }

    /// An interface that goes down takes its masqueraded mappings along.
    var rebootNAT: (() throws -> Void)? {
        { [self] in
            let network = isAway ? 3 : 1
            let nat = "\(name)-n\(network)"
            try shell(
                """
                ip -n \(nat) link set wan down; ip -n \(nat) link set wan up
                ip -n \(nat) route add default via 198.18.\(network).1
                """)
        }
    }

    func close() {
        for part in ["m0", "m1", "n1", "n2", "n3", "net"] { try? shell("ip netns delete \(name)-\(part)") }
    }

    private func addNetwork(_ number: Int, member: Int, interface: String) throws {
        let (net, nat, host) = ("\(name)-net", "\(name)-n\(number)", "\(name)-m\(member)")
        try shell(
            """
            set -e
            ip netns add \(nat)
            ip -n \(nat) link set lo up
            ip -n \(net) link add up\(number) type veth peer name wan netns \(nat)
            ip -n \(net) address add 198.18.\(number).1/24 dev up\(number)
            ip -n \(net) link set up\(number) up
            ip -n \(nat) address add 198.18.\(number).2/24 dev wan
            ip -n \(nat) link set wan up
            ip -n \(nat) route add default via 198.18.\(number).1
            ip -n \(nat) link add lan type veth peer name \(interface) netns \(host)
            ip -n \(nat) address add 192.168.\(number).1/24 dev lan
            ip -n \(nat) link set lan up
            ip -n \(host) address add 192.168.\(number).2/24 dev \(interface)
            ip -n \(host) link set \(interface) up
            ip -n \(host) route replace default via 192.168.\(number).1
            ip netns exec \(nat) sysctl -qw net.ipv4.ip_forward=1
            ip netns exec \(nat) nft -f - <<'RULES'
            table ip nat {
                chain out { type nat hook postrouting priority 100; oifname wan masquerade; }
                chain pass {
                    type filter hook forward priority 0; policy drop; ct state established,related accept; iifname lan accept;
                }
                chain own { type filter hook input priority 0; policy drop; ct state established,related accept; }
            }
            RULES
            """)
    }

    private func leaveNetwork(_ interface: String) throws {
        try shell(
            "ip -n \(name)-m0 address flush dev \(interface); ip -n \(name)-m0 link set \(interface) down; "
                + "ip -n \(name)-m0 route replace default via 192.168.\(interface == "eth1" ? 1 : 3).1 2>/dev/null || true"
        )
    }

    private func setDrops(_ chains: String) throws {
        try shell(
            """
            ip netns exec \(name)-net nft -f - <<'RULES'
            table inet bench { }
            delete table inet bench
            table inet bench {
            \(chains)
            }
            RULES
            """)
    }

    private func shell(_ script: String) throws {
        let process = Process()
        let errors = Pipe()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", script]
        process.standardError = errors
        do { try process.run() } catch { throw CommandFailure(.failed, "no shell for the network lab: \(error)") }
        let text = (try? errors.fileHandleForReading.readToEnd()).flatMap { $0 } ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            let said = String(decoding: text, as: UTF8.self).split(separator: "\n").first
            let reason = said ?? "it needs root, iproute2 and nftables"
            throw CommandFailure(.failed, "no network lab on this machine: \(reason)")
        }
    }
}
