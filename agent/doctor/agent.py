"""What speaks against the agent beside us, its supervision, and the ways to the alert channels."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from agent.config.alerts import PAGERDUTY, AlertChannel
from agent.config.model import Config
from agent.doctor.finding import Finding, fault, ok, unknown, warn
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


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """The agent beside us, if it runs. `status` is its own; `unit` its systemd unit, `settings` what systemd says.

    supervised  what keeps it running: `systemd`, `container`, `guard` (the parent process), or nothing
    """

    status: Mapping[str, object] | None = None
    error: str = ""
    pid: int | None = None
    supervised: str = ""
    unit: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChannelFact:
    """One alert channel: whether something accepts connections where it points, and in TLS if it shall."""

    name: str
    error: str = ""
    untried: bool = False  # its address is the business of a library


def gather(config: Config) -> AgentFacts:
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


def check(facts: AgentFacts) -> list[Finding]:
    """Return how the agent beside us is kept running."""
    if facts.status is None:
        return [fault("agent", facts.error or "it does not answer", "start it: systemctl start nodeos-failover")]
    phase, alerts = facts.status.get("phase", "?"), facts.status.get("open_alerts") or []
    seen = f"{phase}, pid {facts.pid or '?'}"
    told = ", ".join(str(each) for each in alerts) if isinstance(alerts, list) else ""
    first = warn("agent", f"{seen}; open alerts: {told}", "see its log and the runbook") if told else ok("agent", seen)
    guarded = facts.status.get("guard_pid")
    guard = (
        ok("guard", f"pid {guarded}")
        if guarded
        else fault("guard", "there is none", "see the agent's log: nothing stops nodeos should the agent die")
    )
    return [first, guard, supervision(facts)]


def supervision(facts: AgentFacts) -> Finding:
    """Something starts the agent again, sees that it decides, and fences when it is gone."""
    name = "supervision"
    if facts.supervised == "systemd":
        missing = list(_missing(facts.settings))
        remedy = f"use deploy/systemd, or set it in {facts.unit} (systemctl edit)"
        if missing:
            return fault(name, f"{facts.unit} lacks {', '.join(missing)}", remedy)
        return ok(name, f"{facts.unit}: watchdog, restart, and a fence when it is gone")
    if facts.supervised == "guard":
        return ok(name, "a parent guard starts it again, and fences when it is gone")
    if facts.supervised == "container":
        remedy = "see that it is always restarted, and that its command is `guard -- run`"
        return unknown(name, "it runs in a container, which cannot be looked at from here", remedy)
    if not facts.pid:
        return unknown(name, "the agent's process could not be seen", "run doctor as root or the agent's user")
    remedy = "run it under systemd (deploy/systemd), or as `nodeos-failover guard -- run`"
    return warn(name, "nothing starts the agent again when it dies", remedy)


def _missing(found: Mapping[str, str]) -> Iterator[str]:
    if found.get("Type") not in ("notify", "notify-reload"):
        yield "Type=notify"
    if found.get("WatchdogUSec", "0") in ("", "0", "infinity"):
        yield "WatchdogSec"
    if "fence" not in found.get("ExecStopPost", ""):
        yield "ExecStopPost=… fence --local"
    if found.get("Restart") != "always":
        yield "Restart=always"


def alerts(found: tuple[ChannelFact, ...], config: Config) -> Finding:
    """Somebody is told, and the way there is open."""
    if not config.alerts:
        return warn("alert_channels", "nobody is told of anything", "add an [[alerts]] channel, and run `alerts test`")
    failed = [f"{each.name}: {each.error}" for each in found if each.error]
    if failed:
        return fault("alert_channels", "; ".join(failed), "correct the channel's URL, or open the way to it")
    if len(found) < len(config.alerts):
        return unknown("alert_channels", f"{len(found)} of {len(config.alerts)} were tried", "run doctor again")
    if untried := [each.name for each in found if each.untried]:
        remedy = f"run: nodeos-failover alerts test --channel {untried[0]}"
        return unknown("alert_channels", f"{', '.join(untried)}: only a delivery would tell", remedy)
    if not config.runbooks.startswith(("http://", "https://")):
        remedy = "set runbooks to the address of your copy of grafana/runbooks.md"
        return warn("alert_channels", f"alerts link to {config.runbooks}, which nobody can open from there", remedy)
    return ok("alert_channels", f"{', '.join(each.name for each in found)}: reachable; `alerts test` delivers one")
