"""A network of our own: the tests' process leaves the machine's network for a namespace that nothing else is in.

    tests' namespace: bridge `lan0`, 10.77.0.1  ---- veth ---- a `Host`: `eth0`, 10.77.0.2 …

No packet leaves it, no other test's packets come in, every port is free, and links can be cut. Everything in it
disappears with the processes, also after a crash.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import subprocess

from processes import die_with_parent

ADDRESS = "10.77.0.1"

# Addresses of IPv6 are good as soon as they are there (no duplicate address detection, RFC 4862 section 5.4). Else the
# network of a host changes two seconds after its making, and browsers give up what they are loading just then.
AT_ONCE = "for file in /proc/sys/net/ipv6/conf/all/accept_dad /proc/sys/net/ipv6/conf/default/accept_dad; do test ! -e $file || echo 0 >$file; done;"

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class NetworkUnavailable(Exception):
    """This machine gives us no namespaces."""


class Namespace:
    """A network namespace, held by a sleeping process: it ends with that process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", f"{AT_ONCE} echo ready; exec sleep infinity"],
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        assert self._holder.stdout and self._holder.stdout.readline() == b"ready\n"
        self.pid = str(self._holder.pid)
        self.within = ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--"]
        self.ip("link set lo up")

    def ip(self, *commands: str) -> None:
        run(*self.within, "ip", "-batch", "-", text="\n".join(commands))

    def nft(self, rules: str) -> None:
        run(*self.within, "nft", "-f", "-", text=rules)

    def open_socket(self, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """An IPv4 socket in this namespace, for use in the tests' process."""
        with open("/proc/thread-self/ns/net") as home, open(f"/proc/{self.pid}/ns/net") as there:
            _set_namespace(there.fileno())
            try:
                return socket.socket(socket.AF_INET, kind)
            finally:
                _set_namespace(home.fileno())

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()


class Host(Namespace):
    """A host on the bridge."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__(name)
        self.address = f"10.77.0.{number}"
        self._link = f"v-{name}"[:15]
        ip("link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self.pid)
        ip("link", "set", self._link, "master", "lan0", "up")
        self.ip(f"address add {self.address}/24 dev eth0", "link set eth0 up", f"route add default via {ADDRESS}")

    def leave_ipv6(self, *, switched_off: bool) -> None:
        """From now on it has no IPv6 address but that of `lo`; switched off, not even that."""
        run(*self.within, "ip", "-6", "address", "flush", "dev", "eth0")
        if switched_off:
            run(*self.within, "sh", "-c", "for file in /proc/sys/net/ipv6/conf/all/disable_ipv6; do test ! -e $file || echo 1 >$file; done")

    def move(self, number: int) -> None:
        """Its interface gets another address and loses the one it had, as when a machine changes networks."""
        before, self.address = self.address, f"10.77.0.{number}"
        self.ip(
            f"address del {before}/24 dev eth0",  # with the routes that went by it
            f"address add {self.address}/24 dev eth0",
            f"route add default via {ADDRESS}",
        )

    def lose(self, percent: int) -> None:
        """Of the IP packets it sends and of those it is sent, so many are lost at random, until `heal`."""
        for side, chains in ((f"iifname {self._link}", ("input", "forward")), (f"oifname {self._link}", ("forward", "output"))):
            self._drop("lose", f"{side} numgen random mod 100 < {percent}", chains=chains)

    def cut(self) -> None:
        """Every IP packet in or out vanishes, silently: the interface stays up and ARP passes."""
        self._drop("cut", f"iifname {self._link}")
        self._drop("cut", f"oifname {self._link}")

    def isolate(self) -> None:
        """Packets to and from other hosts vanish; the tests' namespace (10.77.0.1) stays in reach."""
        self._drop("isolate", f"iifname {self._link} oifname v-*", chains=("forward",))

    def allow_only(self, port: int) -> None:
        """Of what it sends over UDP to the tests' namespace only what goes to `port` arrives; TCP passes."""
        self._drop("allow_only", f"iifname {self._link} udp dport != {port}", chains=("input",))

    def heal(self) -> None:
        """Ends `cut`, `isolate`, `allow_only` and `lose`."""
        listing = run("nft", "--handle", "list", "table", "bridge", "lab")
        for chain, handle in re.findall(r"chain (\w+)|comment \"[a-z_]+ " + re.escape(self._link) + r"\" # handle (\d+)", listing):
            if chain:
                current = chain
            else:
                run("nft", "delete", "rule", "bridge", "lab", current, "handle", handle)

    def _drop(self, why: str, match: str, chains: tuple[str, ...] = ("input", "forward", "output")) -> None:
        for chain in chains:
            if (chain, match.split()[0]) not in {("input", "oifname"), ("output", "iifname")}:
                rule = f"ether type {{ ip, ip6 }} drop comment \"{why} {self._link}\""
                run("nft", f"add rule bridge lab {chain} {match} {rule}")

    def close(self) -> None:
        super().close()
        subprocess.run(["ip", "link", "del", self._link], stderr=subprocess.DEVNULL)


class Network:
    """The tests' namespace. `Network.enter()` moves this process into it, once and for good."""

    def __init__(self) -> None:
        self._hosts: list[Host] = []
        self._next = 2

    @classmethod
    def enter(cls) -> Network:
        if _libc.unshare(_CLONE_NEWNET) != 0:
            _enter_as_user()
        try:
            run("sh", "-c", AT_ONCE)
            ip("link", "set", "lo", "up")
            # With an address of its own: else it takes the lowest of its ports', which is another with each new host, and those
            # that are there already go on sending to the former one.
            ip("link", "add", "lan0", "address", "02:00:0a:4d:00:01", "type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0")
            ip("address", "add", f"{ADDRESS}/24", "dev", "lan0")
            ip("link", "set", "lan0", "up")
            # A first port, always up, so that the bridge counts as connected; and a way for multicast.
            ip("link", "add", "port0", "type", "veth", "peer", "name", "port1")
            ip("link", "set", "port0", "master", "lan0", "up")
            ip("link", "set", "port1", "up")
            ip("route", "add", "default", "dev", "lan0")
            run("nft", "add table bridge lab")
            for chain in ("input", "forward", "output"):
                run("nft", f"add chain bridge lab {chain} {{ type filter hook {chain} priority 0; }}")
        except (OSError, subprocess.CalledProcessError) as error:
            raise NetworkUnavailable(f"no bridge, veth or nftables in a namespace: {error}: {getattr(error, 'stderr', '')}") from None
        return cls()

    def host(self, name: str) -> Host:
        host = Host(name, self._next)
        self._next += 1
        self._hosts.append(host)
        return host

    def close(self) -> None:
        for host in self._hosts:
            host.close()
        self._hosts = []


def _enter_as_user() -> None:
    """Without root: a user namespace in which we are root, where the kernel allows that."""
    uid, gid = os.getuid(), os.getgid()
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise NetworkUnavailable(f"not root, and no user namespaces ({reason}): run as root")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout


def ip(*arguments: str) -> None:
    run("ip", *arguments)
