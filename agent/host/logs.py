"""Structured logs on the standard library: one line an event, to stderr, and never a wait for their reader.

A line is rendered by the thread that logs and written by a thread of its own. When stderr is a pipe that nobody empties
lines are dropped and counted; the count is logged as soon as lines flow again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

QUEUE_LINES = 2000
REPEAT_S = 60.0
"""The same warning is written once in so many seconds, with the number of those in between."""
ROTATED = 50
"""Secrets that were renewed while the process ran and are still masked, the newest."""
REPEATS = 500
"""Different warnings that are remembered."""
LOOK_S = 1.0
LONGEST_LINE = 16 * 1024
"""Characters; what is longer is cut, so that a full queue stays below some 32 MiB."""
MASK = "**********"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LineFormatter(logging.Formatter):
    """Renders a record as one line: `text` for people, `json` for machines, the same fields in both.

    `fields` (group, node) stand in every line, beside those that were logged as `extra`. Texts in `secrets` are masked.
    """

    def __init__(self, form: str, fields: Mapping[str, str], secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._json = form == "json"
        self._fields = dict(fields)
        self._secrets = tuple(secrets)
        self._rotated: tuple[str, ...] = ()
        self._forms = _written(self._secrets)

    def mask(self, secret: str) -> None:
        """Mask one more text from now on."""
        if secret not in (*self._secrets, *self._rotated):
            self._rotated = (*self._rotated, secret)[-ROTATED:]
            self._forms = _written((*self._secrets, *self._rotated))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end."""
        fields = {key: value for key, value in vars(record).items() if key not in _STANDARD} | self._fields
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = {"time": when, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        head, fields = self._masked(head), self._masked(fields)
        return self._as_json(head | fields) if self._json else self._as_text(head, fields)

    def _masked(self, value: Any) -> Any:
        """Return a value without secrets. It is done before a line is written: quoting and cutting would hide parts."""
        if isinstance(value, Mapping):
            return {self._masked(str(key)): self._masked(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._masked(inner) for inner in value]
        if value is None or isinstance(value, (bool, int, float)):
            return value
        text = str(value)
        for secret in self._forms:
            text = text.replace(secret, MASK)
        return text

    @staticmethod
    def _as_json(values: Mapping[str, object]) -> str:
        whole = json.dumps(values, default=str, ensure_ascii=False)
        if len(whole) <= LONGEST_LINE:
            return whole
        share = LONGEST_LINE // (2 * len(values))
        return json.dumps(
            {key: str(value)[:share] for key, value in values.items()} | {"cut": True}, ensure_ascii=False
        )

    @staticmethod
    def _as_text(head: Mapping[str, str], fields: Mapping[str, object]) -> str:
        message = _printable(head["message"])
        pairs = " ".join(f"{key}={_quoted(value)}" for key, value in fields.items())
        return f"{head['time']} {head['level']:8} {message}  logger={head['logger']} {pairs}".rstrip()[:LONGEST_LINE]


def _written(secrets: Iterable[str]) -> list[str]:
    """Return each secret as it stands, and as JSON and Python quote it; the longest first: the whole before a part."""
    forms = {
        form
        for secret in secrets
        if secret
        for form in (
            secret,
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            repr(secret)[1:-1],
        )
    }
    return sorted(forms, key=len, reverse=True)


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _quoted(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not any(char in text for char in ' "='):
        return text
    return '"' + _printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


@dataclass(slots=True)
class _Known:
    """A warning that was written, and how often it came again since."""

    since: float
    record: logging.LogRecord
    again: int = 0


class Repeats:
    """Lets the same warning or error through once, then a count: with the next one after `repeat_s`, or by itself."""

    def __init__(self, repeat_s: float = REPEAT_S) -> None:
        self._repeat_s = repeat_s
        self._known: dict[tuple[str, int, str], _Known] = {}
        self._lock = threading.Lock()

    def take(self, record: logging.LogRecord, now: float) -> bool:
        """Tell whether to write a record. One that comes again after others were held back bears their number."""
        if record.levelno < logging.WARNING:
            return True
        key = (record.name, record.levelno, record.getMessage())
        with self._lock:
            known = self._known.get(key)
            if known is not None and now - known.since < self._repeat_s:
                known.again, known.record = known.again + 1, record
                return False
            if known is None and len(self._known) >= REPEATS:
                return True  # so many different ones at a time: no storm of the same
            if known is not None and known.again:
                record.repeated = known.again
            self._known[key] = _Known(now, record)
            return True

    def __len__(self) -> int:
        """Return how many are remembered; none: `due` has nothing to return until one is written."""
        return len(self._known)

    def due(self, now: float) -> list[logging.LogRecord]:
        """Forget what has not come for a while; return what was held back, each once, with its number."""
        with self._lock:
            old = [key for key, known in self._known.items() if now - known.since >= self._repeat_s]
            found = [self._known.pop(key) for key in old]
        for known in found:
            known.record.repeated = known.again
        return [known.record for known in found if known.again]


class LogWriter(logging.Handler):
    """Takes lines from any thread without waiting; a thread of its own writes them to a file descriptor.

    It writes to the descriptor, not to `sys.stderr`: a daemon thread that hangs in a buffered stream would take the
    stream's lock with it, and the interpreter could not end. `dropped`: how many lines were never written.
    """

    def __init__(self, fd: int, lines: int = QUEUE_LINES, repeat_s: float = REPEAT_S) -> None:
        super().__init__()
        self._fd = fd
        self._repeats = Repeats(repeat_s)
        self._lines: queue.Queue[str | None] = queue.Queue(lines)
        self._count = threading.Lock()
        self.dropped = 0
        self._given_up = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Render a record and queue it; never waits, never raises."""
        try:
            if self._repeats.take(record, time.monotonic()):
                self._lines.put_nowait(self.format(record))
        except queue.Full:
            self._drop()
        except Exception:  # noqa: BLE001 - whatever a record's arguments do when rendered, the caller goes on
            self._drop()

    def close(self) -> None:
        """Write what is queued, but give up after a second when the reader hangs.

        After it nothing is written, whenever the reader goes on: the descriptor may be another file's by then.
        """
        super().close()
        deadline = time.monotonic() + 1.0
        while self._thread.is_alive() and time.monotonic() < deadline:
            try:
                self._lines.put(None, timeout=0.05)
                break
            except queue.Full:
                continue
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._given_up = True

    def _drop(self) -> None:
        with self._count:
            self.dropped += 1

    def _run(self) -> None:
        told, look = 0, time.monotonic() + LOOK_S
        over = False
        while not over and not self._given_up:
            with contextlib.suppress(queue.Empty):
                line = self._lines.get(timeout=LOOK_S if self._repeats else None)
                over = line is None
                if line is not None and not self._write(line):
                    self._drop()
                elif self.dropped > told:
                    missing, told = self.dropped - told, self.dropped
                    self._write(self.format(_record("%d log lines were lost", missing)))
            if over or time.monotonic() >= look:
                look = time.monotonic() + LOOK_S
                for record in self._repeats.due(float("inf") if over else look - LOOK_S):
                    self._write(self.format(record))

    def _write(self, line: str) -> bool:
        data = memoryview((line + "\n").encode(errors="backslashreplace"))
        try:
            while data and not self._given_up:
                data = data[os.write(self._fd, data) :]
        except OSError:  # the reader is gone, or behind on a non-blocking pipe: nothing is left to tell it to
            return False
        return not data


def _record(text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord(__name__, logging.WARNING, "", 0, text, args, None)


def open_logs(
    form: str, level: str, fields: Mapping[str, str] | None = None, secrets: Iterable[str] = (), fd: int = 2
) -> LogWriter:
    """Send all logs of this process to `fd` and return the writer; `close_logs` ends it.

    `level` goes for our own modules, others only warn: what a library says at debug level may hold a secret.
    A defect in a thread, or one that ends the process, becomes a line too instead of text on stderr.
    """
    writer = LogWriter(fd)
    writer.setFormatter(LineFormatter(form, fields or {}, secrets))
    close_logs()
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(writer)
    root.setLevel(logging.WARNING)
    logging.getLogger("agent").setLevel(level.upper())
    logging.captureWarnings(True)
    threading.excepthook = _thread_died
    sys.excepthook = _process_dies
    return writer


def change_logs(form: str, level: str, fields: Mapping[str, str], secrets: Iterable[str]) -> None:
    """Log in another form or from another level on; `secrets` are masked from now on, older ones no longer."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogWriter):
            handler.setFormatter(LineFormatter(form, fields, secrets))
    logging.getLogger("agent").setLevel(level.upper())


def mask(secret: str) -> str:
    """Mask a secret that was read while the process ran, in every line from now on; return it."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogWriter) and isinstance(handler.formatter, LineFormatter):
            handler.formatter.mask(secret)
    return secret


def close_logs() -> None:
    """Write what is queued, for a second at the most, and log no more. Without open logs it does nothing."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, LogWriter):
            root.removeHandler(handler)
            handler.close()


def _thread_died(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread else "?"
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        why = (args.exc_type, args.exc_value, args.exc_traceback)
        logging.getLogger(__name__).critical("a defect ended the thread %s", name, exc_info=why)


def _process_dies(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger(__name__).critical("a defect ends the process", exc_info=(kind, value, trace))
