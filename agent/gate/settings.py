"""What the gate is told, and the checks of its single values. `agent.config.gate` reads it from the configuration.

Errors name the remedy, and never repeat a secret.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from agent.host.small_file import open_regular

DIRECTORY = "/run/nodeos-failover-gate"
KEOSD = "unix:///run/nodeos-failover-keosd/keosd.sock"
LISTEN = "http://127.0.0.1:8890"
"""A port: a nodeos whose signature provider names a Unix socket hangs for ever (seen: Leap 4.1, Spring 1.2.2)."""
CONTROL = f"{DIRECTORY}/control.sock"
WALLET = "default"
CREDENTIAL = "gate.password"
"""Name of the systemd credential with the wallet's password."""
PATH_BYTES = 107
"""A Unix socket's path has no more (unix(7))."""
PASSWORD_BYTES = 4096
PROVIDER_TIMEOUT_MS = 100
"""How long nodeos should wait for a signature (keosd-provider-timeout): its default of 5 ms is too short.

`make measure NAME=gate-speed` has seen up to 79 ms on a host with four times the load that it can carry.
"""
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_KEY = re.compile(rf"(?:EOS|PUB_(?P<curve>K1|R1|WA)_)(?P<digits>[{_ALPHABET}]{{45,200}})")
_HTTP = re.compile(r"http://(?:\[(?P<six>[0-9a-fA-F:]{2,39})\]|(?P<four>[0-9A-Za-z.-]{1,253})):(?P<port>[0-9]{1,5})/?")
_ONE = bytes(15) + b"\x01"
_WALLET = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody listens: a path of a Unix socket, or a port of loopback (`path` is empty then)."""

    path: str = ""
    host: str = ""
    port: int = 0

    @property
    def family(self) -> socket.AddressFamily:
        """What a socket for it has to be."""
        if self.path:
            return socket.AF_UNIX
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    @property
    def place(self) -> str | tuple[str, int]:
        """What `bind` and `connect` take."""
        return self.path or (self.host, self.port)

    @property
    def text(self) -> str:
        """The form of the configuration."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix://{self.path}" if self.path else f"http://{host}:{self.port}"


def page_path(runtime_dir: Path, group: str, node: str) -> Path:
    """Return where the permit page of a node is: beside the run-time file."""
    return runtime_dir / f"{group}-{node}.permit"


def address(text: str) -> Address:
    """Read http://127.0.0.1:PORT or unix:///path. ValueError with the remedy for everything else."""
    if text.startswith("unix:"):
        if not re.fullmatch(r"unix:///[^/\s?#][^\s?#]*", text):
            raise ValueError(f"{text!r} names no socket: write unix:///path/to/socket")
        return Address(path=socket_path(text.removeprefix("unix://")))
    found = _HTTP.fullmatch(text)
    port = int(found["port"]) if found else 0
    if not found or not 0 < port < 65536:
        raise ValueError(f"{text!r} is no address: write http://127.0.0.1:PORT or unix:///path, and nothing else")
    host = found["six"] or found["four"]
    try:
        packed = socket.inet_pton(socket.AF_INET6 if found["six"] else socket.AF_INET, host)
    except OSError:
        raise ValueError(f"{text!r} names no host: write its address, 127.0.0.1 or [::1]") from None
    if packed[0] != 127 and packed != _ONE:
        raise ValueError(f"{text!r} is not on loopback: requests to sign must not leave the host")
    return Address(host=host, port=port)


def port(text: str) -> Address:
    """Read where nodeos asks the gate: a port of loopback. ValueError with the remedy for everything else."""
    found = address(text)
    if found.path:
        raise ValueError(
            f"{text!r} is a Unix socket: nodeos hangs at the first signature that it asks for there; "
            "write http://127.0.0.1:PORT"
        )
    return found


def socket_path(text: str) -> str:
    """Check the path of a Unix socket; ValueError when it cannot be one."""
    if not text.startswith("/") or len(os.fsencode(text)) > PATH_BYTES or "\0" in text:
        raise ValueError(f"{text!r} cannot be a socket: give a whole path of at most {PATH_BYTES} bytes")
    return text


def key(text: str) -> tuple[str, bytes]:
    """Return curve and bytes of a public key, the same for EOS… and PUB_K1_…; ValueError when it is none."""
    found = _KEY.fullmatch(text)
    number = 0
    for digit in found["digits"] if found else "":
        number = number * 58 + _ALPHABET.index(digit)
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    if not found or len(raw) < 37:  # 33 of the key at least, 4 of its checksum
        raise ValueError("this is no public key: give the one that starts with EOS or PUB_K1_")
    return found["curve"] or "K1", raw[:-4]


def wallet(text: str) -> str:
    """Check the name of a wallet."""
    if not _WALLET.fullmatch(text):
        raise ValueError(f"{text!r} is no wallet: give the name that keosd knows, without .wallet")
    return text


def user(text: str) -> int:
    """Return the number of a user given by name or number; ours for an empty text. ValueError when there is none."""
    if not text:
        return os.geteuid()
    if text.isdecimal():
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):
        raise ValueError(f"{text!r} is no user of this host: give a name or a number") from None


def password(path: Path) -> str:
    """Read the wallet's password; ValueError with the remedy. Nothing of it is ever in an error."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o007:
                raise ValueError(f"{path} holds a secret but everybody may use it: run chmod 0600 {path}")
            raw = file.read(PASSWORD_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error.strerror}): correct gate.password_file or the rights") from None
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(raw) > PASSWORD_BYTES or not text.isprintable():
        raise ValueError(f"{path} holds no password: write the wallet's password into it, and nothing else")
    return text


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a gate is told. `owner`: who writes the page; `asker`: who may ask for signatures, None: who can."""

    group: str
    node: str
    key: tuple[str, bytes]
    keosd: Address
    listen: Address
    control: str
    page: Path
    owner: int
    asker: int | None
    wallet: str
    password_file: Path | None
