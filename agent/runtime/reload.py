"""Reading the configuration again on SIGHUP: what can change at once does, what cannot is named with the reason.

First everything is read and checked, then it is applied, or nothing is. All on a thread of its own: a file may lie on a
disk that hangs. The loop hears of it by one event, and goes on as it is: who leads goes on leading.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from agent.config.load import checked
from agent.config.model import Config
from agent.config.section import Section
from agent.errors import ConfigError
from agent.host.process import start_ticks
from agent.host.small_file import read_whole, write_whole
from agent.host.systemd import Notifier

log = logging.getLogger(__name__)

LIVE = (
    "log.*",
    "health.*",
    "election.*",
    "urgency.*",
    "alerts",
    "runbooks",
    "nodeos.chain_id",
    "nodeos.producer_key",
    "http.token",
    "http.token_file",
    "http.cert_file",
    "http.key_file",
    "timing.rank_step",
    "timing.nomination",
    "timing.fair_chance",
    "timing.catch_up",
    "timing.election",
)
"""Settings that may change while the agent runs, as patterns. Nothing that a confirmation was promised with (R1)."""
FIXED = (
    ("health.main_thread.interval", "the probe keeps its pace"),
    ("health.main_thread.timeout", "the probe keeps its deadline"),
    ("mode", "what leads, or stands by to lead, does not leave its nodeos alone: hand over, stop the agent, start it"),
    ("group", "it is who this agent is"),
    ("node", "it is who this agent is"),
    ("producer", "it is who this agent is"),
    ("timing.*", "the confirmation that stands, and the guard, were given the old one"),
    ("fence.*", "the guard was given the old one"),
    ("nodeos.*", "connections and probes were made with the old one"),
    ("etcd.*", "connections were made with the old one"),
    ("http.*", "the port is open"),
    ("runtime.*", "the run-time file is locked"),
    ("watchdog.*", "the device is open"),
    ("peers.*", "the socket is open, and the confirmation that stands was given the old one"),
    ("gate.*", "the permit page is open, and the gate was given the old one"),
)
"""Why a setting cannot change, by pattern; these come before LIVE where they are more exact. All others: read once."""
READ_ONCE = "it is read at the start only"
RESTART = "restart the agent for it (a restart costs no block)"
NOTHING = "nothing to apply (certificates and secrets in files of their own are read whenever these change)"


class Difference(NamedTuple):
    """What differs between two configurations. `applied` and `refused` name settings, the latter with the reason."""

    config: Config
    applied: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]


def compare(old: Config, new: Config) -> Difference:
    """Return what of `new` can be had now: `old` with every live setting of `new`.

    ConfigError when what can change is only right together with what cannot.
    """
    names = list(changes(old, new))
    reasons = {name: "" if _applies(old, new, name) else why_not(name) for name in names}
    applied = tuple(name for name, why in reasons.items() if not why)
    refused = tuple((name, why) for name, why in reasons.items() if why)
    if not refused:
        return Difference(new, applied, ())
    try:
        return Difference(checked(Config, _merged(old, new, applied), {}, []), applied, refused)
    except ConfigError as error:
        together = f"this needs a restart, for {', '.join(name for name, _why in refused)} cannot change now"
        raise ConfigError([f"{problem} ({together})" for problem in error.problems]) from None


def _applies(old: Config, new: Config, name: str) -> bool:
    """Tell whether a setting that cannot change as a rule does so here.

    A password in the same file as before is read when it is used; an agent that observed may lead from now on.
    """
    file = new.etcd.password_file
    if name == "etcd.password":
        return file is not None and file == old.etcd.password_file
    return name == "mode" and old.mode == "observe"


def why_not(name: str) -> str:
    """Return why a setting cannot change while the agent runs; nothing when it can."""
    exact = next((why for pattern, why in FIXED if name == pattern), "")
    if exact:
        return exact
    if any(fnmatchcase(name, pattern) for pattern in LIVE):
        return ""
    return next((why for pattern, why in FIXED if fnmatchcase(name, pattern)), READ_ONCE)


def changes(old: Section, new: Section, above: str = "") -> Iterator[str]:
    """Yield the settings in which two configurations differ, secrets among them; the channels of alerts are one."""
    for (name, was), now in zip(old.values().items(), new.values().values(), strict=True):
        if isinstance(was, Section) and isinstance(now, Section):
            yield from changes(was, now, f"{above}{name}.")
        elif was != now:
            yield f"{above}{name}"


def _merged(old: Section, new: Section, names: Collection[str], above: str = "") -> dict[str, Any]:
    """Return the values of `old` as nested tables, secrets as such, with those of `new` for the settings in `names`."""
    found = {}
    for (name, was), now in zip(old.values().items(), new.values().values(), strict=True):
        whole = f"{above}{name}"
        inner = isinstance(was, Section)
        found[name] = _merged(was, now, names, f"{whole}.") if inner else now if whole in names else was
    return found


@dataclass(frozen=True, slots=True)
class ReloadNote:
    """What became of the last reload, in a file: a signal brings its sender no answer.

    `count`: how many reloads this process has done; `ok` and `said`: what became of the last.
    """

    pid: int
    started: int
    count: int
    ok: bool
    said: tuple[str, ...]


def read_note(file: Path) -> ReloadNote:
    """Return what an agent left. OSError or ValueError when there is nothing that can be used."""
    found = json.loads(read_whole(file))
    try:
        pid, started, count = (int(found[name]) for name in ("pid", "started", "count"))
        return ReloadNote(pid, started, count, bool(found["ok"]), tuple(map(str, found["said"])))
    except (TypeError, KeyError) as error:
        raise ValueError(f"{file} is no note of a reload: {error!r}") from error


@dataclass(eq=False)
class Reload:
    """`begin` may be called from a signal handler; another one while one is under way comes after it.

    `apply` takes the old and the new configuration; it raises ConfigError before it has changed anything. `note` is the
    file in which `nodeos-failover reload` finds what became of it. `done` hears whether what was read could be used.
    """

    _config: Config
    _read: Callable[[], Config]
    _notifier: Notifier
    _apply: Callable[[Config, Config], None]
    _done: Callable[[bool], None]
    _note: Path | None = None

    def __post_init__(self) -> None:
        self._count = 0
        self._turn = threading.Lock()
        self._due = False  # one is still to begin, and will read what stands there then

    def begin(self) -> None:
        """Read it on a thread of its own."""
        if self._due:
            return
        self._due = True
        try:
            threading.Thread(target=self.run, name="reload", daemon=True).start()
        except RuntimeError as error:
            self._due = False
            log.error("the configuration is not read again: %s", error)  # noqa: TRY400 - no defect

    def begin_note(self) -> None:
        """Leave word of this process, so that it can be told to reload."""
        self._noted(ok=True, said=[])

    def run(self) -> None:
        """Read and apply it now; whatever is wrong with it, the old one stays and the agent goes on."""
        with self._turn:
            self._due = False
            self._notifier.reloading()
            ok, said = False, ["a defect in reloading, see the agent's log; it goes on with the old configuration"]
            try:
                said = self._take(compare(self._config, self._read()))
                ok = True
            except ConfigError as error:
                said = error.problems
                log.error("the configuration stays as it is: %s", "; ".join(said))  # noqa: TRY400 - no defect
            except Exception:
                log.exception("a defect in reloading; the agent goes on")
            finally:
                self._count += 1
                self._noted(ok=ok, said=said)
                self._done(ok)

    def _noted(self, *, ok: bool, said: list[str]) -> None:
        if self._note is None:
            return
        note = ReloadNote(os.getpid(), start_ticks(os.getpid()), self._count, ok, tuple(said))
        try:
            write_whole(self._note, json.dumps(asdict(note)))
        except OSError as error:
            log.warning("what became of a reload cannot be written: %s", error)

    def _take(self, found: Difference) -> list[str]:
        if found.applied:
            self._apply(self._config, found.config)
            self._config = found.config
        said = f"the configuration is read again: {', '.join(found.applied) or NOTHING}"
        log.info("%s", said)
        refused = [
            f"{name} stays as it was: {why}" + ("" if name == "mode" else f"; {RESTART}") for name, why in found.refused
        ]
        for line in refused:
            log.warning("%s", line)
        return [said, *refused]
