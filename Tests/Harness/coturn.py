"""A real TURN server: coturn, started in the tests' namespace."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time

from networks import ADDRESS
from processes import die_with_parent

PORT = 3478
TLS_PORT = 5349


class Coturn:
    """Listens on UDP, TCP and TLS, for the user `u` with the password `p`."""

    port = PORT

    def __init__(self, address: str, process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
        self.address = address
        self._process = process
        self._folder = folder
        self.certificate = f"{folder.name}/certificate"  # of TLS; whoever trusts it trusts this server

    @staticmethod
    def is_installed() -> bool:
        return shutil.which("turnserver") is not None

    @classmethod
    def start(cls, address: str = ADDRESS, *, also: int | None = None) -> Coturn:
        """`also`: a second port, for UDP and TCP."""
        folder = tempfile.TemporaryDirectory(prefix="coturn")
        arguments = ["-n", "--no-cli", "--lt-cred-mech", "--realm", "test", "--user", "u:p", "--no-dtls"]
        arguments += ["--listening-ip", address, "--relay-ip", address, "--listening-port", str(PORT), "--allow-loopback-peers"]
        arguments += ["--aux-server", f"{address}:{also}"] if also else []
        arguments += ["--log-file", f"{folder.name}/log", "--simple-log", "--pidfile", f"{folder.name}/pid", "--db", f"{folder.name}/db"]
        arguments += ["--tls-listening-port", str(TLS_PORT), "--cert", f"{folder.name}/certificate", "--pkey", f"{folder.name}/key"]
        make_certificate(folder.name, address)
        process = subprocess.Popen(
            ["turnserver", *arguments],
            cwd=folder.name,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        server = cls(address, process, folder)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((address, PORT), timeout=1).close()
                return server
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    server.close()
                    raise AssertionError("coturn does not listen") from None
                time.sleep(0.05)

    def url(self, transport: str, port: int = PORT) -> str:
        """`transport`: udp, tcp or tls, between client and server."""
        if transport == "tls":
            return f"turns:{self.address}:{TLS_PORT}"
        return f"turn:{self.address}:{port}?transport={transport}"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


def make_certificate(folder: str, address: str) -> None:
    """A certificate for that address, and its key, as `certificate` and `key`."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        + ["-subj", "/CN=coturn", "-addext", f"subjectAltName=IP:{address}"]
        + ["-out", f"{folder}/certificate", "-keyout", f"{folder}/key"],
        check=True,
        capture_output=True,
    )
