"""The commands that end by themselves, what they say when they cannot do their work, and the options of `serve`."""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
import ssl
import subprocess
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from networks import ADDRESS
from node import MakeSupernode
from processes import binary, die_with_parent
from test_gun_relay import acknowledged, changes, get, put
from websocket_client import JSONClient, random_id


def command(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [binary(), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        preexec_fn=die_with_parent,
    )


def link(*arguments: str) -> dict[str, list[str]]:
    """The parameters of the link that `invite` prints."""
    result = command("invite", *arguments)
    assert result.returncode == 0 and result.stderr == ""
    match = re.fullmatch(r"magnet:\?(\S+)\n", result.stdout)
    assert match, result.stdout
    return parse_qs(match[1], strict_parsing=True)


def test_an_invitation_holds_what_it_was_given() -> None:
    parameters = link(
        "wild meadow & more", "--tracker", "wss://a.example/x?y=1&z=2", "--tracker", "ws://b.example:8000/",
        "--relay", "https://c.example/gun", "--relay", "ws://[::1]:7750/gun",
    )
    assert set(parameters) == {"xt", "dn", "tr", "x.gun"}
    assert re.fullmatch("urn:btih:[0-9a-f]{40}", parameters["xt"][0])
    assert parameters["dn"] == ["wild meadow & more"]
    assert parameters["tr"] == ["wss://a.example/x?y=1&z=2", "ws://b.example:8000/"]
    assert parameters["x.gun"] == ["https://c.example/gun", "ws://[::1]:7750/gun"]


def test_name_and_secret_together_name_a_swarm() -> None:
    hashes_ = [link(*arguments)["xt"][0] for arguments in (
        ["meadow"], ["meadow"], ["Meadow"], ["meadow", "--secret", "a"], ["meadow", "--secret", "a"], ["meadow", "--secret", "b"],
    )]
    assert hashes_[0] == hashes_[1] and hashes_[3] == hashes_[4]
    assert len(set(hashes_)) == 4


def test_the_infohash_of_a_name_is_the_documented_one() -> None:
    # docs/protocol.md, "Topic": SHA-1 of "swarm-space/1 name " and the name.
    import hashlib

    assert link("méadow")["xt"] == ["urn:btih:" + hashlib.sha1("swarm-space/1 name méadow".encode()).hexdigest()]


def test_an_identity_as_json(tmp_path: Path) -> None:
    first = command("id", "--data", str(tmp_path / "a"), "--json")
    event = json.loads(first.stdout)
    assert first.returncode == 0 and first.stderr == "" and first.stdout.count("\n") == 1
    assert set(event) == {"event", "self", "data"} and event["event"] == "identity"
    assert re.fullmatch(r"[\w-]{43}\.[\w-]{43}", event["self"])
    pair = json.loads((tmp_path / "a" / "identity.json").read_text())
    assert pair["pub"] == event["self"] and set(pair) == {"pub", "priv", "epub", "epriv"}
    assert pair["priv"] not in first.stdout
    assert command("id", "--data", str(tmp_path / "b")).stdout.strip() not in ("", event["self"])


def test_without_a_directory_the_identity_is_kept_where_the_user_keeps_data(tmp_path: Path) -> None:
    by_xdg = command("id", environment={"XDG_DATA_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path)})
    by_home = command("id", environment={"HOME": str(tmp_path)})
    assert by_xdg.returncode == by_home.returncode == 0
    assert by_xdg.stdout.strip() in (tmp_path / "xdg" / "swarm-space" / "identity.json").read_text()
    assert by_home.stdout.strip() in (tmp_path / ".local" / "share" / "swarm-space" / "identity.json").read_text()
    assert command("id", environment={}).returncode == 64


@pytest.mark.parametrize("content", ["", "{", "{}", '{"pub":"a","priv":"b","epub":"c","epriv":"d"}', "x" * 100_000])
def test_a_broken_identity_is_left_alone(tmp_path: Path, content: str) -> None:
    file = tmp_path / "identity.json"
    file.write_text(content)
    result = command("id", "--data", str(tmp_path))
    assert result.returncode == 74 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1 and "identity.json" in result.stderr
    assert file.read_text() == content


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["fly"], 64, "fly"),
        (["--no-such-option"], 64, "--no-such-option"),
        (["serve", "--port", "70000"], 64, "--port"),
        (["serve", "--host", "example"], 64, "--host"),
        (["serve", "--peer", "example"], 64, "--peer"),
        (["serve", "--tls-cert", "x"], 64, "--tls-key"),
        (["serve", "--port", "0", "--tls-cert", "/nowhere", "--tls-key", "/nowhere"], 64, "/nowhere"),
        (["serve", "--public-name", "a/b"], 64, "--public-name"),
        (["serve", "--port", "0", "--host", "192.0.2.1"], 69, "--host"),
        (["serve", "--port", "0", "--data", "/proc/no"], 74, "--data"),
        (["invite", ""], 64, "name"),
        (["invite", "magnet:?xt=urn:btih:" + "0" * 40], 64, "magnet"),
        (["invite", "meadow", "--tracker", "ftp://a.example:1"], 64, "--tracker"),
        (["invite", "meadow", "--relay", "a.example"], 64, "--relay"),
        (["invite", "meadow", "--secret", ""], 64, "--secret"),
        (["invite", "x" * 70_000], 64, "shorter"),
        (["id", "--data", "/proc/no"], 74, "--data"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_said_in_one_line(network, arguments: list[str], status: int, said: str) -> None:
    result = command(*arguments)
    assert result.returncode == status, result.stderr
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1 and said in result.stderr


@pytest.mark.parametrize("name", ["", "serve", "invite", "id"])
def test_help_is_for_terminals_of_80_columns(name: str) -> None:
    result = command(*([name] if name else []), "--help")
    assert result.returncode == 0 and result.stderr == ""
    lines = result.stdout.splitlines()
    assert all(len(line) <= 80 for line in lines if not line.startswith("USAGE:")), [line for line in lines if len(line) > 80]
    # An example that is too long is wrapped to the first column, and then it cannot be copied.
    examples = lines[lines.index("EXAMPLES") + 1 : next(i for i, line in enumerate(lines) if line.startswith("USAGE:")) - 1]
    assert examples and all(line.startswith("  ") for line in examples), examples


async def test_a_relay_asks_its_peer_for_what_it_does_not_have(make_supernode: MakeSupernode) -> None:
    far = await make_supernode()
    near = await make_supernode("--peer", far.gun, name="near")
    writer, reader = await JSONClient.open(far.gun), await JSONClient.open(near.gun)
    assert "ok" in await acknowledged(writer, put("garden", rose="red"))
    # The link between the two comes up in its own time: asked until it has.
    for _ in range(20):
        await reader.send(get("garden"))
        try:
            found = await reader.next(changes("garden", "rose"), 0.5)
        except AssertionError:
            continue
        assert found["put"]["garden"]["rose"] == "red"
        break
    else:
        raise AssertionError("nothing came from the other relay")
    # From then on the near relay follows what becomes of it.
    assert "ok" in await acknowledged(writer, put("garden", lily="white"))
    await reader.next(changes("garden", "lily"))
    await writer.close()
    await reader.close()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for our address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "supernode")])
    now = datetime.datetime.now(datetime.timezone.utc)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ADDRESS))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return chain, private


async def test_it_serves_over_tls(make_supernode: MakeSupernode, tmp_path: Path) -> None:
    chain, private = certificate(tmp_path)
    supernode = await make_supernode("--tls-cert", str(chain), "--tls-key", str(private))
    assert supernode.http == f"https://{ADDRESS}:{supernode.port}/"
    assert supernode.gun == f"wss://{ADDRESS}:{supernode.port}/gun"
    trust = ssl.create_default_context(cafile=str(chain))
    with urllib.request.urlopen(f"{supernode.http}healthz", timeout=30, context=trust) as reply:
        assert reply.status == 200
    client = await JSONClient.open(supernode.gun, ssl=trust)
    assert "ok" in await acknowledged(client, put("room", text=random_id()))
    await client.close()


async def test_the_urls_can_be_given_a_name(make_supernode: MakeSupernode) -> None:
    supernode = await make_supernode("--public-name", "node.example.org")
    assert supernode.http == f"http://node.example.org:{supernode.port}/"
    assert supernode.tracker == f"ws://node.example.org:{supernode.port}/"
