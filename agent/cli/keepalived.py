"""`keepalived-notify`: builds what `agent.keepalived.duty` needs, runs it until keepalived ends, writes its metrics."""

from __future__ import annotations

import logging
import os
import signal
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.options import config_option
from agent.config.load import load
from agent.config.model import Config
from agent.config.secrets import secret_texts
from agent.core.leadership.timing import GateMode
from agent.core.model.store import Ms
from agent.errors import ConfigError, RefusedError
from agent.host.clock import boot_ms
from agent.host.process import start_ticks
from agent.host.small_file import read_whole, write_whole
from agent.keepalived.duty import LOOK_S, WORDS, Duty, Spans

if TYPE_CHECKING:
    from agent.guard.spawn import GuardProcess


def metrics_text(duty: Duty, labels: str) -> str:
    """Return the metrics for node_exporter's textfile collector; `labels` such as `group="g",node="n"`."""
    name = "nodeos_failover_keepalived"
    lines = [f"# HELP {name}_state 1 for the word that keepalived said last.", f"# TYPE {name}_state gauge"]
    lines += [f'{name}_state{{{labels},state="{word}"}} {int(word == duty.word)}' for word in WORDS]
    lines += [f"# HELP {name}_transitions_total Words of keepalived.", f"# TYPE {name}_transitions_total counter"]
    lines += [f'{name}_transitions_total{{{labels},state="{w}"}} {n}' for w, n in duty.transitions.items()]
    for metric, kind, help_text, value in (
        ("producing", "gauge", "1 while this node has resumed nodeos.", int(duty.producing)),
        ("proven_stopped", "gauge", "1 while nodeos is proven stopped.", int(duty.proven)),
        ("fencings_total", "counter", "Times that the nodeos process was ended.", duty.fencings),
        ("silences_total", "counter", "Times that keepalived gave no sign of life.", duty.trips),
        ("changed_timestamp_seconds", "gauge", "When keepalived said its last word.", round(duty.changed_at, 3)),
        ("written_timestamp_seconds", "gauge", "When this file was written.", round(time.time(), 3)),
    ):
        lines += [
            f"# HELP {name}_{metric} {help_text}",
            f"# TYPE {name}_{metric} {kind}",
            f"{name}_{metric}{{{labels}}} {value}",
        ]
    return "\n".join(lines) + "\n"


log = logging.getLogger(__name__)

NO_ETCD = {"NODEOS_FAILOVER_ETCD__ENDPOINTS": "http://127.0.0.1:1", "NODEOS_FAILOVER_ETCD__DISCOVERY_SRV": ""}
"""The section [etcd] is required, and nothing of it is used here."""
WRITE_S = 5.0
"""How often the metrics are written when nothing changes."""
SIGN_MS: Ms = 1000
"""How often a sign of life is left."""
CLOSE_S = 2.0
HANDOVER_S = 30.0
"""When keepalived is reloaded it starts this anew, while the one before still stops nodeos: so long it may take."""


@click.command("keepalived-notify")
@config_option
@click.option("--delay", type=click.FloatRange(0, 60), default=3.5, show_default=True, help="Seconds before a resume.")
@click.option(
    "--deadman",
    type=click.FloatRange(1.5, 60),
    default=2.0,
    show_default=True,
    help="Seconds for which a sign of life of keepalived counts (check --local --stamp).",
)
@click.option("--advert", type=float, hidden=True, expose_value=False)  # of before: no span rests on it any more
@click.option("--textfile", type=click.Path(path_type=Path), help="Write metrics here, for node_exporter (*.prom).")
@click.option("--log", "log_to", type=click.Path(path_type=Path), help="Log here: keepalived gives scripts no stderr.")
@click.argument("fifo", type=click.Path(path_type=Path))
def keepalived_notify(
    path: Path, delay: float, deadman: float, textfile: Path | None, log_to: Path | None, fifo: Path
) -> None:
    """Let production follow keepalived, which writes its states into FIFO.

    keepalived starts this by `vrrp_notify_fifo_script`, and appends the path of the fifo.
    """
    if log_to is not None:
        with log_to.open("ab") as file:
            os.dup2(file.fileno(), 2)
    config = load(path, NO_ETCD | dict(os.environ))
    if config.gate.mode != "off":
        raise ConfigError([f'gate.mode is "{config.gate.mode}": only the agent opens a gate, here set it to "off"'])
    spans = Spans(round(deadman * 1000), round(delay * 1000), config.timing.spans(GateMode.OFF).margin)
    if problem := spans.problem():
        raise ConfigError([problem])
    try:
        descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError([f"the fifo {fifo} cannot be read: {error.strerror}; keepalived makes it"]) from error
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        raise ConfigError([f"{fifo} is no fifo: set vrrp_notify_fifo, and not notify"])
    from agent.host.logs import close_logs, open_logs

    open_logs(config.log.format, config.log.level, {"group": config.group, "node": config.node}, secret_texts(config))
    try:
        _run(config, descriptor, spans, textfile)
    finally:
        close_logs()


def _run(config: Config, fifo: int, spans: Spans, textfile: Path | None) -> None:
    """Go on until keepalived is gone or says so, and nodeos is proven stopped."""
    from agent.alerts.dispatcher import make_dispatcher
    from agent.core.alerts.notice import Notice
    from agent.guard.fence import read_file
    from agent.guard.plan import guard_fields
    from agent.guard.spawn import GuardProcess
    from agent.guard.stop import means_of, stop_other
    from agent.host.clock import SystemClock, boot_id
    from agent.host.paths import Files, save_plan
    from agent.host.tenure_file import open_file

    files = Files(config.runtime.dir / f"{config.group}-{config.node}.json")
    file = open_file(config.runtime.dir, config.group, config.node, boot_id(), HANDOVER_S)
    dispatcher = make_dispatcher(config, SystemClock())

    def tell(event: str, severity: str, summary: str) -> None:
        log.log(logging.INFO if severity == "info" else logging.WARNING, "%s", summary)
        key = f"{event}/{config.group}/{config.node}"
        fields = {"group": config.group, "node": config.node, "producer": config.producer}
        dispatcher.tell(Notice(key, event, severity, f"{config.node}: {summary}", fields=fields))

    more = guard_fields(config)
    save_plan(files.runtime, more)
    guard = GuardProcess(files.runtime)
    means = means_of(more)
    if how := stop_other(files.runtime, boot_id(), means):
        log.warning("production was with another nodeos than ours, which is stopped now: %s", how)
        file.remove()
    before = read_file(files.runtime)[0].armed
    led = before.process if before is not None else None
    duty = Duty(fifo, file, files.stamp, means, spans, tell, led)
    duty.more = more
    pid = os.getppid()
    keepalived = f"{pid} {start_ticks(pid)}"  # so that no other process is taken for it
    duty.begin_with(_word_left(files.word, keepalived))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: setattr(duty, "ending", True))
    metrics = _Metrics(textfile, f'group="{config.group}",node="{config.node}"')
    sign = _Sign(files.alive)
    try:
        while True:
            duty.guarded = _guarded(guard, duty.guarded)
            if duty.guarded:
                sign.leave()
            going_on = duty.look()
            metrics.write(duty)
            if not going_on and duty.proven:
                return
            time.sleep(LOOK_S)
    finally:
        with suppress(OSError):  # then the next one waits for a word
            write_whole(files.word, f"{keepalived} {duty.word}")
        metrics.write(duty)
        guard.close()
        dispatcher.close(CLOSE_S)


def _guarded(guard: GuardProcess, before: bool) -> bool:
    """See that the guard lives; tell whether it could be started. Without it there is no resume, and no sign of life.

    What produces goes on until keepalived has heard of it, for this process can stop it still.
    """
    try:
        guard.ensure()
    except OSError as error:
        if before:  # said once, not five times a second
            log.error("the guard cannot be started: %s", error)  # noqa: TRY400 - it is no defect of ours
        return False
    return True


class _Sign:
    """Tells the check that this process goes round, and so keepalived, which would not miss it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at: Ms = 0

    def leave(self) -> None:
        """Leave a sign of life; one that cannot be written is none."""
        now = boot_ms()
        if now < self._at + SIGN_MS:
            return
        self._at = now
        with suppress(OSError):
            write_whole(self._path, f"{now}\n")


def _word_left(path: Path, keepalived: str) -> str:
    """Return what this keepalived said last to the notifier before us, once: it was reloaded, and says it no more."""
    try:
        left = read_whole(path).decode()
        path.unlink()
    except (OSError, ValueError):
        return ""
    said_by, _, word = left.rpartition(" ")
    return word if said_by == keepalived else ""


class _Metrics:
    """The textfile, replaced as a whole."""

    def __init__(self, path: Path | None, labels: str) -> None:
        if path is not None and path.suffix != ".prom":
            raise RefusedError(f"--textfile {path}: node_exporter reads *.prom only")
        self._path = path
        self._labels = labels
        self._last: tuple[object, ...] = ()
        self._at = 0.0

    def write(self, duty: Duty) -> None:
        """Write, if something changed or the file is old."""
        state = (duty.word, duty.producing, duty.proven, duty.fencings, duty.trips)
        if self._path is None or (state == self._last and time.monotonic() < self._at + WRITE_S):
            return
        self._last, self._at = state, time.monotonic()
        try:
            write_whole(self._path, metrics_text(duty, self._labels), 0o644)
        except OSError as error:
            log.warning("the metrics %s cannot be written: %s", self._path, error)
