"""Looking at the host, the agent's process, its supervision, and the ways to the alert channels."""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path

from agent.config.alerts import PAGERDUTY, AlertChannel
from agent.config.model import Config
from agent.doctor.facts import AgentFacts, ChannelFact, HostFacts
from agent.errors import ConfigError, FenceError
from agent.host.deadline import Deadline
from agent.host.process import unit_properties
from agent.net.dial import dial
from agent.net.endpoint import endpoint_of, here, parse_endpoint
from agent.net.http import LARGE, call
from agent.net.proxy import proxy_for
from agent.net.resolver import Resolver
from agent.net.tls import tls_context
from agent.nodeos import listener

ASK_S = 2.0
"""For one question: to the agent, to systemd, to a channel."""
_STA_UNSYNC = 0x40  # linux/timex.h
_TIMEX_WORDS = 64
"""More longs than struct timex has; `status` is the fifth field, `maxerror` and `esterror` come before it."""


def host(config: Config) -> HostFacts:
    """Look at clock, disk and run-time directory."""
    synchronised, error_s, failure = _clock()
    free, total, disk_error = _disk(config.nodeos.data_dir)
    return HostFacts(synchronised, error_s, failure, free, total, disk_error, _file_system(config.runtime.dir))


def _clock() -> tuple[bool | None, float, str]:
    """Ask the kernel (adjtimex without changing anything)."""
    timex = (ctypes.c_long * _TIMEX_WORDS)()
    try:
        libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
        state = libc.adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError) as error:
        return None, 0.0, f"adjtimex: {error}"
    if state < 0:
        return None, 0.0, f"adjtimex: {os.strerror(ctypes.get_errno())}"
    # modes and status are ints, padded to a long; offset, freq, maxerror, esterror are longs
    _modes, _offset, _freq, _max_error, error_us, status = (int(timex[at]) for at in range(6))
    return not status & 0xFFFFFFFF & _STA_UNSYNC, error_us / 1e6, ""


def _disk(path: Path | None) -> tuple[int | None, int, str]:
    if path is None:
        return None, 0, ""
    try:
        found = os.statvfs(path)
    except OSError as error:
        return None, 0, f"{path}: {error.strerror}"
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, ""


def _file_system(path: Path) -> str:
    """Return the type of the file system below which a directory lies; nothing when it does not exist."""
    if not path.exists():
        return ""
    real, best, kind = str(path.resolve()), "", ""
    with suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _device, mount, found, *_ = line.split(" ")
            inside = real == mount or real.startswith(mount.rstrip("/") + "/")
            if inside and len(mount) >= len(best):
                best, kind = mount, found
    return kind


def agent(config: Config) -> AgentFacts:
    """Ask the agent beside us how it is, and see what keeps it running."""
    if config.http.address is None:
        return AgentFacts(error="http.listen is empty, so it cannot be asked")
    scheme = "https" if config.http.cert_file else "http"
    endpoint = parse_endpoint(f"{scheme}://{here(*config.http.address)[1]}")
    try:
        token = config.http.token.get_secret_value() if config.http.token else ""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        context = _own(config.http.cert_file)
        answer = call(endpoint, "/status", ASK_S, context=context, headers=headers, method="GET", most=LARGE)
        status = json.loads(answer.body)
        if answer.status != 200 or not isinstance(status, dict):
            return AgentFacts(error=f"{endpoint} answers with {answer.status}: is it the agent?")
    except (OSError, ConfigError) as error:
        return AgentFacts(error=f"it does not answer: {error}")
    except ValueError:
        return AgentFacts(error=f"{endpoint} answers something else: is it the agent?")
    pids: list[int] = []
    with suppress(FenceError):
        pids = listener.pids(endpoint, Deadline(ASK_S))
    return _supervised(status, next(iter(pids), None))


def _own(certificate: Path | None) -> ssl.SSLContext | None:
    """Return a context that trusts the agent's very certificate, whatever it is for; None without TLS."""
    if certificate is None:
        return None
    context = tls_context(certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _supervised(status: dict[str, object], pid: int | None) -> AgentFacts:
    if pid is None:
        return AgentFacts(status)
    unit = unit_of(_read(Path(f"/proc/{pid}/cgroup")))
    parent = next((line.split()[1] for line in _read(Path(f"/proc/{pid}/status")).splitlines() if "PPid:" in line), "")
    if "guard" in _read(Path(f"/proc/{parent}/cmdline")).split("\0"):
        return AgentFacts(status, pid=pid, supervised="guard", unit=unit)
    if unit:
        settings: dict[str, str] = {}
        with suppress(OSError, subprocess.SubprocessError):
            settings = unit_properties(unit, "Type,WatchdogUSec,ExecStopPost,Restart", ASK_S)
        return AgentFacts(status, pid=pid, supervised="systemd", unit=unit, settings=settings)
    container = (
        any(Path(each).exists() for each in ("/.dockerenv", "/run/.containerenv")) or "KUBERNETES_PORT" in os.environ
    )
    return AgentFacts(status, pid=pid, supervised="container" if container else "")


def unit_of(cgroup: str) -> str:
    """Return the systemd service that a process belongs to, from /proc/PID/cgroup; nothing for a login session."""
    for line in cgroup.splitlines():
        last = line.rpartition("/")[2].strip()
        if last.endswith(".service") and not last.startswith("user@"):
            return last
    return ""


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(errors="replace")
    return ""


def channel(config: AlertChannel) -> ChannelFact:
    """See whether something accepts connections where a channel points. Nothing is sent, the URL is not repeated."""
    if config.type == "apprise":
        return ChannelFact(config.name, untried=True)
    url = config.url.get_secret_value() or PAGERDUTY
    try:
        where = endpoint_of(url)
        context = tls_context(config.ca_file) if where.tls else None
        proxy = proxy_for(url, config.proxy.get_secret_value())
        dial(where, Deadline(min(config.timeout, ASK_S)), Resolver(), context, proxy).close()
    except ConfigError:
        return ChannelFact(config.name, "its ca_file cannot be used")
    except (OSError, ValueError) as error:
        said = str(error).partition(": nothing listens")[0].partition(" refused")
        return ChannelFact(config.name, "nothing listens where it points" if said[1] else f"no connection: {said[0]}")
    return ChannelFact(config.name)
