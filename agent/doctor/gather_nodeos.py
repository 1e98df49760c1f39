"""Asking nodeos, and looking at its process and its config.ini. Changes nothing.

A fact that could not be had is None, and its error says why.
"""

from __future__ import annotations

import fcntl
import ipaddress
import re
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from agent.config.model import Config
from agent.core.model.chain import ChainInfo, Peers, Schedule
from agent.core.model.finality import Finality
from agent.errors import FailoverError, NodeosAnswer, NodeosError
from agent.guard.plan import fence_plan
from agent.host import process
from agent.host.deadline import Deadline
from agent.net.endpoint import bracketed, parse_endpoint
from agent.nodeos import config_ini, listener
from agent.nodeos.client import HttpNodeos
from agent.nodeos.config_ini import Options
from agent.nodeos.fence import ProcessFence

MOST = 1 << 20
"""Bytes of a config.ini that are read."""
TRY_S = 1.0
"""For each address at which the producer API may be reached."""
_MISSING = 404
IF_INET6 = Path("/proc/net/if_inet6")
_SIOCGIFADDR = 0x8915  # linux/sockios.h


@dataclass(frozen=True, slots=True)
class NodeosFacts:
    """The node beside us. `asked_ms`: our clock when it told its head, ms since 1970.

    producer_missing, net_missing  whether nodeos says that it has no such API
    safety      whether finalizers/safety.dat is in the data directory; None: it could not be seen
    pid         of the process that is nodeos for sure; None: `process_error` says why none is known
    listening   the programs that listen at nodeos.url, each with its pid
    bound       the addresses that it listens on; None: they could not be seen
    reached     the addresses of this host, beyond loopback, at which the producer API answered
    """

    info: ChainInfo | None = None
    info_error: str = ""
    asked_ms: int = 0
    paused: bool | None = None
    paused_error: str = ""
    producer_missing: bool = False
    peers: Peers | None = None
    peers_error: str = ""
    net_missing: bool = False
    schedule: Schedule | None = None
    schedule_error: str = ""
    finality: Finality | None = None
    finality_error: str = ""
    safety: bool | None = None
    options: Options = field(default_factory=Options)
    options_error: str = ""
    pid: int | None = None
    process_error: str = ""
    listening: tuple[tuple[str, int], ...] = ()
    bound: tuple[str, ...] | None = None
    reached: tuple[str, ...] = ()


def gather(config: Config, within_s: float) -> NodeosFacts:
    """Return what there is to know of nodeos, within `within_s` seconds or little more."""
    deadline = Deadline(within_s)
    node = HttpNodeos(config.nodeos.url, config.nodeos.producer_url)
    found: dict[str, object] = {}
    _ask(found, "info", node.info, deadline)
    found["asked_ms"] = time.time_ns() // 1_000_000
    found["producer_missing"] = _ask(found, "paused", node.paused, deadline) == _MISSING
    found["net_missing"] = _ask(found, "peers", node.peers, deadline) == _MISSING
    _ask(found, "schedule", node.schedule, deadline)
    _ask(found, "finality", node.finality, deadline)
    found["safety"] = _safety(config)
    pid, error = _pid(config)
    found["pid"], found["process_error"], found["listening"] = pid, error, _listening(config, deadline)
    found["options"], found["options_error"] = read_options(config, pid, error)
    found["bound"] = _bound(pid)
    found["reached"] = _reached(config, deadline)
    return NodeosFacts(**found)  # type: ignore[arg-type] # each name above is a field, with a value of its type


def _ask(found: dict[str, object], name: str, question: Callable[[float], object], deadline: Deadline) -> int:
    """Ask, and note the answer or the error; return the HTTP status of an error answer, 0 for anything else."""
    try:
        found[name] = question(min(2.0, deadline.left()))
    except NodeosError as error:
        found[f"{name}_error"] = str(error)
        return error.status if isinstance(error, NodeosAnswer) else 0
    except OSError as error:  # no time was left
        found[f"{name}_error"] = f"not asked: {error}"
    return 0


def _safety(config: Config) -> bool | None:
    """Tell whether nodeos keeps what it voted for, where it does by default; None when that cannot be seen."""
    if config.nodeos.data_dir is None:
        return None
    try:
        return "safety.dat" in {each.name for each in (config.nodeos.data_dir / "finalizers").iterdir()}
    except FileNotFoundError:
        return False
    except OSError:
        return None


def _pid(config: Config) -> tuple[int | None, str]:
    try:
        held = ProcessFence(fence_plan(config)).find()
    except FailoverError as error:
        return None, str(error)
    assert held is not None  # only of one that was known is it seen that it is gone
    held.close()
    return held.id.pid, ""


def _listening(config: Config, deadline: Deadline) -> tuple[tuple[str, int], ...]:
    """Return the programs that listen at nodeos.url, as far as they may be seen."""
    try:
        return tuple((process.comm(pid), pid) for pid in listener.pids(parse_endpoint(config.nodeos.url), deadline))
    except FailoverError:
        return ()


def read_options(config: Config, pid: int | None, error: str) -> tuple[Options, str]:
    """Return nodeos's options and, when neither source could be read, why."""
    found, sources, errors = [], [], [error] if error else []
    arguments: list[str] = []
    if pid is not None:
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[1:-1]
            sources.append("its command line")
        except OSError as failure:
            errors.append(f"its command line: {failure.strerror}")
    file = config.nodeos.config_file or (_config_file(pid, arguments) if pid is not None else None)
    if file is not None:
        try:
            with file.open("rb") as open_file:
                found += config_ini.of_ini(open_file.read(MOST).decode(errors="replace"))
            sources.insert(0, str(file))
        except OSError as failure:
            errors.append(f"{file}: {failure.strerror}")
    found += config_ini.of_command_line(arguments)
    return config_ini.merged(found, sources), "; ".join(errors)


def _config_file(pid: int, arguments: list[str]) -> Path | None:
    """Return where nodeos reads its config.ini, as far as its process can be looked at."""
    with suppress(OSError, UnicodeDecodeError):
        cwd = str(Path(f"/proc/{pid}/cwd").readlink())
        environment = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        home = next((each.removeprefix("HOME=") for each in environment if each.startswith("HOME=")), "/root")
        return Path(config_ini.config_file_of(arguments, home, cwd))
    return None


def _bound(pid: int | None) -> tuple[str, ...] | None:
    """Return the addresses that a process listens on with TCP; None when its sockets cannot be seen."""
    if pid is None:
        return None
    try:
        links = []
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile: the others can be seen all the same
                links.append(str(each.readlink()))
        found = listener.tcp_listeners(Path(f"/proc/{pid}/net"))
        return tuple(sorted(address(local) for local, inode in found if f"socket:[{inode}]" in links))
    except OSError:
        return None


def address(text: str) -> str:
    """Return an address of /proc/net/tcp or tcp6 as people write it."""
    host, _, port = text.partition(":")
    packed = b"".join(struct.pack("=I", int(host[at : at + 8], 16)) for at in range(0, len(host), 8))
    if len(packed) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, packed)}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, packed)}]:{int(port, 16)}"


def _reached(config: Config, deadline: Deadline) -> tuple[str, ...]:
    """Return the addresses of this host, beyond loopback, at which the producer API answers a question."""
    url = config.nodeos.producer_url or config.nodeos.url
    port = re.search(r":(\d+)/?$", url)
    if url.startswith("unix:") or port is None:
        return ()
    found = []
    for host in own_addresses():
        where = f"http://{bracketed(host, port[1])}"
        try:
            HttpNodeos(where).paused(min(TRY_S, deadline.left()))
        except NodeosAnswer as error:
            if error.status != 400:  # it minds the Host header: whoever is out there can send the right one
                continue
        except (NodeosError, OSError):
            continue
        found.append(bracketed(host, port[1]))
    return tuple(found)


def own_addresses() -> list[str]:
    """Return the addresses of this host's interfaces, without loopback and those that are good on one link only."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _index, name in socket.if_nameindex():
            with suppress(OSError):
                answer = fcntl.ioctl(sock.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                found.append(socket.inet_ntoa(answer[20:24]))
    six = []
    with suppress(OSError):  # a kernel without IPv6
        six = [line.split()[0] for line in IF_INET6.read_text().splitlines()]
    found += [socket.inet_ntop(socket.AF_INET6, bytes.fromhex(each)) for each in six]
    return [each for each in found if not ipaddress.ip_address(each).is_loopback and not each.startswith("fe80:")]
