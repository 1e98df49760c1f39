"""Logs: one line an event in both forms, secrets masked, and never a wait for a reader that hangs."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.host.logs import LineFormatter, LogWriter, Repeats, close_logs, open_logs
from tests.support.children import wait_until
from tests.support.slack import within

FIELDS = {"group": "eos", "node": "bp-a"}


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    """Return a record as a logger makes it."""
    made = logging.getLogger("agent.runtime.loop").makeRecord(
        "agent.runtime.loop", logging.INFO, "", 0, message, args, None, extra=extra
    )
    made.created = 1_700_000_000.25
    return made


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return a pipe; both ends are closed after the test."""
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            continue  # the test closed it


def test_both_forms_have_the_same_fields() -> None:
    """Time, level, logger, message, what was logged as extra, group and node."""
    made = record("%s leads", "bp-a", epoch=7, reason="the seat is free")
    data = json.loads(LineFormatter("json", FIELDS).format(made))
    assert data == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "logger": "agent.runtime.loop",
        "message": "bp-a leads",
        "epoch": 7,
        "reason": "the seat is free",
        "group": "eos",
        "node": "bp-a",
    }
    assert LineFormatter("text", FIELDS).format(made) == (
        "2023-11-14T22:13:20.250Z info     bp-a leads  "
        'logger=agent.runtime.loop epoch=7 reason="the seat is free" group=eos node=bp-a'
    )


@given(st.text(), st.text(), st.sampled_from(["json", "text"]))
def test_whatever_is_logged_is_one_line(message: str, value: str, form: str) -> None:
    """No text breaks a line in two, so nobody can forge an event; JSON stays JSON."""
    line = LineFormatter(form, FIELDS).format(record("%s", message, value=value))
    assert "\n" not in line
    assert "\r" not in line
    if form == "json":
        assert json.loads(line)["value"] == value
    else:
        assert line.isprintable()


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_traceback_is_part_of_the_line(form: str) -> None:
    """A defect is one event too."""
    try:
        FIELDS["defect"]
    except KeyError:
        made = record("broken")
        made.exc_info = sys.exc_info()
    line = LineFormatter(form, FIELDS).format(made)
    assert "\n" not in line
    assert "KeyError" in line


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_line_is_bounded(form: str) -> None:
    """A huge field is cut, and the JSON still is JSON."""
    line = LineFormatter(form, FIELDS).format(record("x" * 100_000, huge="y" * 100_000))
    assert len(line) <= 16 * 1024
    if form == "json":
        assert json.loads(line)["cut"] is True


@pytest.mark.parametrize("form", ["json", "text"])
def test_secrets_are_masked_wherever_they_turn_up(form: str) -> None:
    """In the message, in a field, in a traceback."""
    try:
        int("https://hooks.example/T0/secret")
    except ValueError:
        made = record("post to https://hooks.example/T0/secret", url="https://hooks.example/T0/secret")
        made.exc_info = sys.exc_info()
    line = LineFormatter(form, {}, ["https://hooks.example/T0/secret"]).format(made)
    assert "T0" not in line
    assert line.count("*****") >= 3


def full(writer: int) -> None:
    """Fill a pipe that nobody empties."""
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)


def test_a_full_pipe_holds_nobody_up(pipe: tuple[int, int]) -> None:
    """With stderr stuck, logging stays instant, lines are dropped and counted, and the count is told afterwards."""
    reader, fd = pipe
    full(fd)
    handler = LogWriter(fd, lines=50)
    handler.setFormatter(LineFormatter("json", FIELDS))
    slowest = 0.0
    for number in range(500):
        begin = time.perf_counter()
        handler.handle(record("line", number=number))
        slowest = max(slowest, time.perf_counter() - begin)
    assert slowest < 0.1
    assert 449 <= handler.dropped <= 450  # one may be with the writer already
    dropped = handler.dropped
    collected = bytearray()
    drained = threading.Event()

    def drain() -> None:
        while chunk := os.read(reader, 65536):
            collected.extend(chunk)
        drained.set()

    threading.Thread(target=drain, daemon=True).start()
    handler.close()
    os.close(fd)
    assert drained.wait(5)
    lines = collected.decode().lstrip("x").splitlines()
    messages = [json.loads(line)["message"] for line in lines if line.startswith("{")]
    assert f"{dropped} log lines were lost" in messages


def test_the_writer_does_not_keep_the_process(pipe: tuple[int, int]) -> None:
    """With a reader that hangs the process could not end, nor another one take over."""
    before = set(threading.enumerate())
    handler = LogWriter(pipe[1])
    assert [each.daemon for each in set(threading.enumerate()) - before] == [True]
    handler.close()


def test_closing_is_bounded_when_the_reader_hangs(pipe: tuple[int, int]) -> None:
    """The end of the agent does not wait for its logs for longer than a second."""
    _, fd = pipe
    full(fd)
    handler = LogWriter(fd, lines=2)
    handler.handle(record("the one that hangs"))
    wait_until(lambda: handler._lines.empty())
    for _ in range(2):
        handler.handle(record("line"))
    assert handler._lines.full()
    with within(1.0):
        handler.close()


def test_nothing_is_written_after_closing(pipe: tuple[int, int]) -> None:
    """When the reader goes on after the log was closed, the descriptor may be another file's: it gets no line."""
    reader, fd = pipe
    full(fd)
    others = set(threading.enumerate())
    handler = LogWriter(fd, lines=5)
    for _ in range(4):
        handler.handle(record("late"))
    handler.close()
    (thread,) = set(threading.enumerate()) - others
    filled = os.dup(fd)
    other, taken = os.pipe()
    os.dup2(taken, fd)
    os.set_blocking(reader, False)
    while thread.is_alive():
        with suppress(BlockingIOError):
            os.read(reader, 65536)
    os.set_blocking(other, False)
    with pytest.raises(BlockingIOError):
        os.read(other, 1)
    for each in (filled, other, taken):
        os.close(each)


def test_a_reader_that_is_gone_is_counted(pipe: tuple[int, int]) -> None:
    """A closed pipe raises nothing into the code that logs."""
    reader, fd = pipe
    os.close(reader)
    handler = LogWriter(fd)
    handler.handle(record("line"))
    handler.close()
    assert handler.dropped == 1


def test_a_record_that_cannot_be_rendered_is_counted(pipe: tuple[int, int]) -> None:
    """A wrong format string in a log call does not reach the code that logs."""
    handler = LogWriter(pipe[1])
    handler.handle(record("%d", "no number"))
    handler.close()
    assert handler.dropped == 1


def run(program: str, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a program in an interpreter of its own, because `open_logs` is for a whole process."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=20, check=False, **settings
    )


def test_open_logs_takes_over_the_whole_process() -> None:
    """Our debug lines, others' warnings, warnings of Python, defects in threads and at the end: all are JSON lines."""
    result = run(
        """
        import logging, threading, warnings
        from agent.host.logs import open_logs
        open_logs("json", "debug", {"node": "bp-a"})
        logging.getLogger("agent.x").debug("ours")
        logging.getLogger("urllib3").debug("POST /secret")
        logging.getLogger("urllib3").warning("theirs")
        warnings.warn("old")
        thread = threading.Thread(target=lambda: 1 / 0, name="lane")
        thread.start()
        thread.join()
        raise RuntimeError("the end")
        """
    )
    assert result.returncode == 1
    lines = [json.loads(line) for line in result.stderr.decode().splitlines()]
    messages = [line["message"] for line in lines]
    assert messages[:2] == ["ours", "theirs"]
    assert "UserWarning: old" in messages[2]
    assert messages[3:] == ["a defect ended the thread lane", "a defect ends the process"]
    assert "ZeroDivisionError" in lines[3]["traceback"]
    assert "RuntimeError: the end" in lines[4]["traceback"]
    assert b"secret" not in result.stderr


def test_a_process_with_a_stuck_stderr_can_end(pipe: tuple[int, int]) -> None:
    """The interpreter shuts down although its log writer hangs in a write."""
    full(pipe[1])
    program = """
    import logging
    from agent.host.logs import open_logs
    open_logs("text", "info")
    for _ in range(3000):
        logging.getLogger("agent").info("x" * 1000)
    print("done")
    """
    begin = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=pipe[1],
        timeout=20,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, b"done\n")
    assert time.monotonic() - begin < 10


def test_opening_twice_leaves_one_handler_and_closing_none(
    monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]
) -> None:
    """Opening twice does not log twice, and after closing nothing is written."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    root, agent = logging.getLogger(), logging.getLogger("agent")
    before = (list(root.handlers), root.level, agent.level)
    try:
        for _ in range(2):
            writer = open_logs("text", "info", FIELDS, fd=pipe[1])
        assert root.handlers == [writer]
        close_logs()
        assert root.handlers == []
    finally:
        logging.captureWarnings(False)
        for handler in root.handlers:
            handler.close()
        root.handlers[:], level, agent_level = before[0], before[1], before[2]
        root.setLevel(level)
        agent.setLevel(agent_level)
        warnings.resetwarnings()


# --- what comes again and again ---


def warning(message: str) -> logging.LogRecord:
    """Return a warning."""
    return logging.getLogger("agent.runtime.loop").makeRecord(
        "agent.runtime.loop", logging.WARNING, "", 0, message, (), None
    )


def test_the_same_warning_is_told_once_and_then_with_a_count() -> None:
    """Held back within the window; the next one after it bears the number; another text is another warning."""
    repeats = Repeats(60)
    assert [repeats.take(warning("etcd is down"), now) for now in (0.0, 1.0, 59.9)] == [True, False, False]
    assert repeats.take(warning("nodeos is down"), 2.0)
    again = warning("etcd is down")
    assert repeats.take(again, 61.0)
    assert vars(again)["repeated"] == 2
    assert repeats.due(100.0) != [again]


def test_what_was_held_back_is_counted_when_it_comes_no_more() -> None:
    """A warning that stops coming still tells how often it came; one that came once is done with."""
    repeats = Repeats(60)
    for message, now in (("a", 0.0), ("b", 0.0), ("a", 1.0), ("a", 2.0)):
        repeats.take(warning(message), now)
    assert repeats.due(59.0) == []
    (held,) = repeats.due(60.0)
    assert (held.getMessage(), vars(held)["repeated"]) == ("a", 2)
    assert repeats.due(999.0) == []


def test_information_is_never_held_back() -> None:
    """A transition that happens twice is two events."""
    repeats = Repeats(60)
    assert [repeats.take(record("leading"), now) for now in (0.0, 0.1)] == [True, True]


def test_a_storm_of_different_warnings_is_let_through() -> None:
    """The memory of what was told is bounded; what it has no room for is written, not lost."""
    repeats = Repeats(60)
    assert all(repeats.take(warning(str(number)), 0.0) for number in range(5000))


def test_the_count_is_written_at_the_latest_when_the_log_closes(pipe: tuple[int, int]) -> None:
    """Nothing that was held back is lost at the end."""
    reader, writer = pipe
    open_logs("json", "info", fd=writer)
    for _ in range(5):
        logging.getLogger("agent.test").warning("the same")
    logging.getLogger("agent.test").warning("another")
    close_logs()
    found = [json.loads(line) for line in os.read(reader, 65536).splitlines()]
    assert [(line["message"], line.get("repeated")) for line in found] == [
        ("the same", None),
        ("another", None),
        ("the same", 4),
    ]
