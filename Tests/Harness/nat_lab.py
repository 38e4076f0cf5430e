"""Hosts behind NATs of every kind, made of namespaces and the kernel's own NAT.

    host 192.168.N.2 ---- NAT 192.168.N.1 | 198.18.N.2 ---- 198.18.N.1 tests' namespace: "the internet", 198.18.0.1, 198.18.0.2

A host without a NAT is 198.18.N.2 itself. The tests' namespace routes between the public addresses and knows no others.
Behaviour is named as in RFC 4787: mapping is endpoint-independent (EIM) or address-and-port-dependent (APDM), filtering
endpoint-independent (EIF), address-dependent (ADF) or address-and-port-dependent (APDF).
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from networks import Namespace, Network, NetworkUnavailable, ip, run

SERVERS = ("198.18.0.1", "198.18.0.2")  # addresses of the tests' namespace for what stands on the internet


@dataclass(frozen=True)
class Kind:
    """How a NAT treats UDP. Without mapping there is no NAT."""

    name: str
    mapping: str | None
    filtering: str
    passes_udp: bool = True


KINDS = {
    kind.name: kind
    for kind in (
        Kind("none", None, "EIF"),
        Kind("full-cone", "EIM", "EIF"),
        Kind("addr-restricted", "EIM", "ADF"),
        Kind("port-restricted", "EIM", "APDF"),
        Kind("symmetric", "APDM", "APDF"),
        Kind("udp-blocked", "EIM", "APDF", passes_udp=False),
    )
}


class NATHost(Namespace):
    """A host, and the NAT that it is alone behind."""

    def __init__(self, name: str, kind: Kind, number: int) -> None:
        super().__init__(name)
        self.kind = kind
        self.external = f"198.18.{number}.2"
        self.address = self.external if kind.mapping is None else f"192.168.{number}.2"
        self.nat = None if kind.mapping is None else Namespace(f"{name}-nat")
        outer, uplink = self.nat or self, f"nat{number}"
        ip("link", "add", uplink, "type", "veth", "peer", "name", "wan", "netns", outer.pid)
        ip("address", "add", f"198.18.{number}.1/24", "dev", uplink)
        ip("link", "set", uplink, "up")
        outer.ip(f"address add {self.external}/24 dev wan", "link set wan up", f"route add default via 198.18.{number}.1")
        if self.nat:
            self.nat.ip(f"link add lan type veth peer name eth0 netns {self.pid}", f"address add 192.168.{number}.1/24 dev lan", "link set lan up")
            self.ip(f"address add {self.address}/24 dev eth0", "link set eth0 up", f"route add default via 192.168.{number}.1")
            run_forwarding(self.nat)
            # Every external port differs from the local one, by an amount of the NAT's own.
            self.nat.nft(nat_rules(kind, self.address, self.external, 0x100 + 2 * number))

    def close(self) -> None:
        super().close()
        if self.nat:
            self.nat.close()


class NATLab:
    """Makes hosts behind NATs; `close` ends them."""

    def __init__(self, network: Network) -> None:
        self._hosts: list[NATHost] = []
        try:
            for address in SERVERS:
                ip("address", "replace", f"{address}/32", "dev", "lo")
            # What is sent to a private address outside its own network vanishes without an error, also when sent from here:
            # into a cable at whose other end nobody listens.
            ip("link", "add", "sink0", "type", "veth", "peer", "name", "sink1")
            ip("link", "set", "sink0", "arp", "off", "up")
            ip("link", "set", "sink1", "up")
            ip("route", "add", "192.168.0.0/16", "dev", "sink0")
            with open("/proc/sys/net/ipv4/ip_forward", "w") as file:
                file.write("1")
        except (OSError, subprocess.CalledProcessError) as error:
            raise NetworkUnavailable(f"no forwarding in a namespace: {error}") from None

    def host(self, name: str, kind: str) -> NATHost:
        try:
            host = NATHost(name, KINDS[kind], len(self._hosts) + 1)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NetworkUnavailable(f"no NAT in a namespace: {error}: {getattr(error, 'stderr', '')}") from None
        self._hosts.append(host)
        return host

    def close(self) -> None:
        for host in self._hosts:
            host.close()
        self._hosts = []
        ip("link", "del", "sink0")


def run_forwarding(nat: Namespace) -> None:
    run(*nat.within, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")


def nat_rules(kind: Kind, inner: str, external: str, shift: int) -> str:
    """Mapping is done for the first packet of each flow; `mapped` and `permitted` hold what went out, for those who come in."""
    source = f"snat to {external} fully-random" if kind.mapping == "APDM" else f"meta l4proto udp snat to {external} : th sport ^ {shift}"
    let_in = {"EIF": "udp dport @mapped", "ADF": "ip saddr . udp dport @permitted"}.get(kind.filtering)
    # Without an entry of their own, packets from outside come in only as answers: connection tracking is APDF.
    destination = f"iifname wan ip daddr {external} {let_in} dnat to {inner} : th dport ^ {shift}" if let_in else ""
    return f"""
        table ip nat {{
            set mapped {{ type inet_service; flags dynamic,timeout; timeout 120s; size 65535; }}
            set permitted {{ type ipv4_addr . inet_service; flags dynamic,timeout; timeout 120s; size 65535; }}
            chain destination {{ type nat hook prerouting priority -100; {destination}; }}
            chain source {{ type nat hook postrouting priority 100; oifname != wan accept; {source}; snat to {external}; }}
            chain learn {{
                type filter hook postrouting priority 200;
                oifname wan meta l4proto udp update @mapped {{ udp sport }} update @permitted {{ ip daddr . udp sport }}
            }}
            chain forward {{
                type filter hook forward priority 0; policy drop;
                {"" if kind.passes_udp else "meta l4proto udp drop"}
                ct state established,related accept
                iifname lan oifname wan accept
                ct status dnat accept
            }}
            chain input {{ type filter hook input priority 0; policy drop; ct state established,related accept; }}
        }}
    """
