"""Structured logs on the standard library: one line an event, to stderr, and never a wait for whoever reads them.

A line is rendered by the thread that logs and written by a thread of its own. When stderr is a pipe that nobody empties
lines are dropped and counted; the count is logged as soon as lines flow again.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import TracebackType

QUEUE_LINES = 2000
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
        self._secrets = [secret for secret in secrets if secret]

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end."""
        fields = {key: value for key, value in vars(record).items() if key not in _STANDARD} | self._fields
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = {"time": when, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        line = self._as_json(head | fields) if self._json else self._as_text(head, fields)
        for secret in self._secrets:
            line = line.replace(secret, MASK)
        return line

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
        return f"{head['time']} {head['level']:8} {message}  logger={head['logger']} {pairs}"[:LONGEST_LINE]


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _quoted(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not any(char in text for char in ' "='):
        return text
    return '"' + _printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


class LogWriter(logging.Handler):
    """Takes lines from any thread without waiting; a thread of its own writes them to a file descriptor.

    It writes to the descriptor, not to `sys.stderr`: a daemon thread that hangs in a buffered stream would take the
    stream's lock with it, and the interpreter could not end.
    """

    def __init__(self, fd: int, lines: int = QUEUE_LINES) -> None:
        super().__init__()
        self._fd = fd
        self._lines: queue.Queue[str | None] = queue.Queue(lines)
        self._count = threading.Lock()
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many lines were never written."""
        return self._dropped

    def emit(self, record: logging.LogRecord) -> None:
        """Render a record and queue it; never waits, never raises."""
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self._drop()
        except Exception:  # noqa: BLE001 - whatever a record's arguments do when rendered, the caller goes on
            self._drop()

    def close(self) -> None:
        """Write what is queued, but give up after a second when the reader hangs."""
        super().close()
        deadline = time.monotonic() + 1.0
        while self._thread.is_alive() and time.monotonic() < deadline:
            try:
                self._lines.put(None, timeout=0.05)
                break
            except queue.Full:
                continue
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _drop(self) -> None:
        with self._count:
            self._dropped += 1

    def _run(self) -> None:
        told = 0
        while (line := self._lines.get()) is not None:
            if not self._write(line):
                self._drop()
            elif self._dropped > told:
                missing, told = self._dropped - told, self._dropped
                record = logging.LogRecord(__name__, logging.WARNING, "", 0, "%d log lines were lost", (missing,), None)
                self._write(self.format(record))

    def _write(self, line: str) -> bool:
        data = memoryview((line + "\n").encode(errors="backslashreplace"))
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:  # the reader is gone, or behind on a non-blocking pipe: nothing is left to tell it to
            return False
        return True


def open_logs(
    form: str, level: str, fields: Mapping[str, str] | None = None, secrets: Iterable[str] = (), fd: int = 2
) -> LogWriter:
    """Send all logs of this process to `fd` and return the writer; `close_logs` ends it.

    `level` goes for our own modules, others only warn: at debug level urllib3 would log the secret URLs of alert
    channels. A defect in a thread, or one that ends the process, becomes a line too instead of text on stderr.
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
