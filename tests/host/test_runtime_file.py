"""The run-time file: one agent only, replaced as a whole, readable by nobody else, and never older than it was."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.errors import RefusedError
from agent.host.runtime_file import LockedFile
from tests.support.children import child, wait_until
from tests.support.leaks import nothing_left_open

HOLDER = """
from pathlib import Path
from agent.host.runtime_file import LockedFile
file = LockedFile(Path(sys.argv[1]))
file.lock()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> LockedFile:
    """Return a file in a directory that is not there yet."""
    return LockedFile(tmp_path / "run" / "group-node.a.json")


def mode(path: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_what_was_saved_is_loaded(file: LockedFile) -> None:
    """Save replaces the whole content, remove takes it away, and again is fine."""
    port = file
    file.lock()
    assert port.load() is None
    port.save(b"a long content")
    port.save(b"short")
    assert port.load() == b"short"
    port.remove()
    port.remove()
    assert port.load() is None


def test_the_directory_is_made_with_those_above_it(tmp_path: Path) -> None:
    """After a reboot nothing of it is there, and one that is there is no error."""
    file = LockedFile(tmp_path / "a" / "b" / "c.json")
    file.lock()
    LockedFile(tmp_path / "a" / "b" / "d.json").lock()
    assert mode(tmp_path / "a" / "b") == 0o700


def test_a_trial_leaves_the_content_and_nothing_else(file: LockedFile) -> None:
    """To see whether it could be saved changes nothing, and a file left by a crash is in nobody's way."""
    file.lock()
    file.save(b"content")
    file.path.with_suffix(".try").write_bytes(b"of a crash")
    file.try_write()
    assert file.load() == b"content"
    assert {each.suffix for each in file.path.parent.iterdir()} == {".json", ".lock"}


def test_a_trial_fails_where_nothing_can_be_written(tmp_path: Path) -> None:
    """A file system that takes no more bytes is found out by trying, and by a reason for people."""
    code = (
        "import resource; from pathlib import Path; from agent.runtime import probes\n"
        "from agent.host.runtime_file import LockedFile\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        f"print(probes.runtime_file(LockedFile(Path({str(tmp_path / 'a.json')!r}))).error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "File too large"
    assert not list(tmp_path.iterdir())


def test_a_directory_that_was_taken_away_is_made_anew_with_its_lock(tmp_path: Path) -> None:
    """P3: a leader keeps its place, and no second agent has it meanwhile."""
    file = LockedFile(tmp_path / "run" / "a.json")
    file.lock()
    for call in (file.try_write, lambda: file.save(b"content")):
        shutil.rmtree(file.path.parent)
        call()
        with pytest.raises(RefusedError, match="another agent runs"):
            LockedFile(file.path).lock()
    assert file.load() == b"content"


def test_a_directory_that_cannot_be_made_anew_is_a_failure(tmp_path: Path) -> None:
    """R3: what was not written is told, also where the directory's own is gone and something else stands there."""
    file = LockedFile(tmp_path / "run" / "a" / "a.json")
    file.lock()
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "run").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match="cannot be used"):
        file.save(b"content")


@pytest.mark.parametrize("suffix", [".json", ".new"])
def test_a_trial_fails_where_a_save_would(file: LockedFile, suffix: str) -> None:
    """P2: a directory in the place of the file is found out before the lead is won and lost again by it."""
    file.lock()
    file.path.with_suffix(suffix).mkdir()
    for call in (file.try_write, lambda: file.save(b"content")):
        with pytest.raises(OSError, match="directory"):
            call()


@pytest.mark.parametrize("call", ["write", "replace"])
def test_a_failure_leaves_nothing_open(file: LockedFile, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """An agent that is refused the lock, or a disk that takes no more, costs no descriptor."""
    file.lock()
    with nothing_left_open():
        for _ in range(3):
            with pytest.raises(RefusedError):
                LockedFile(file.path).lock()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if call == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        real = os.fdopen
        monkeypatch.setattr(os, "fdopen", lambda fd, mode: _Full(real(fd, mode)))
    with nothing_left_open():
        for _ in range(3):
            with pytest.raises(OSError, match="No space left"):
                file.save(b"content")
    assert file.load() is None


class _Full:
    """A file that takes no bytes."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __enter__(self) -> Any:
        self._file.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._file.__exit__(*error)

    def write(self, _content: bytes) -> None:
        """Refuse."""
        raise OSError(28, "No space left on device")


def test_nobody_else_may_read(file: LockedFile) -> None:
    """Directory, lock and file are the agent's own, whatever the umask, and whatever lay there before."""
    before = os.umask(0)
    try:
        file.lock()
        left = file.path.with_suffix(".new")
        left.write_bytes(b"left behind by a crash, readable by all")
        left.chmod(0o666)
        file.save(b"x")
    finally:
        os.umask(before)
    assert mode(file.path.parent) == 0o700
    assert [mode(path) for path in file.path.parent.iterdir() if path != left] == [0o600, 0o600]


def test_a_link_is_not_followed(file: LockedFile, tmp_path: Path) -> None:
    """A symbolic link at the place of the new file does not lead us to write elsewhere."""
    file.lock()
    target = tmp_path / "target"
    target.write_bytes(b"theirs")
    for name in (".new", ".1.new", ".lock.new"):
        file.path.with_suffix(name).symlink_to(target)
    try:
        file.save(b"ours")
    except OSError:
        return
    finally:
        assert target.read_bytes() == b"theirs"
    assert file.load() == b"ours"


def test_a_second_lock_is_refused(file: LockedFile) -> None:
    """Two agents of one node on one host cannot both have the file, not even inside one process."""
    file.lock()
    with pytest.raises(RefusedError, match="another agent runs"):
        LockedFile(file.path).lock()
    LockedFile(file.path.with_name("other.json")).lock()


@pytest.mark.real
def test_a_lock_lasts_as_long_as_its_process(file: LockedFile) -> None:
    """The lock of another process is refused; it ends with that process, however that ends."""
    with child(f"sys.path[:0] = {sys.path!r}\n{HOLDER}", str(file.path)) as other:
        with pytest.raises(RefusedError, match="another agent runs"):
            file.lock()
        other.popen.kill()
        other.popen.wait()
        file.lock()


@pytest.mark.real
def test_a_lock_can_be_waited_for(file: LockedFile) -> None:
    """Who comes while the one before is ending waits for it, and not for ever."""
    with child(f"sys.path[:0] = {sys.path!r}\n{HOLDER}", str(file.path)) as other:
        with pytest.raises(RefusedError, match="another agent runs"):
            file.lock(0.2)
        ending = threading.Timer(0.3, other.popen.kill)
        ending.start()
        file.lock(20)
        assert other.popen.wait(5) is not None
        ending.join()


@pytest.mark.real
def test_a_child_does_not_keep_the_lock(file: LockedFile) -> None:
    """What an agent starts (its guard above all) lives on after it without holding the lock."""
    inner = "inner = subprocess.Popen(['sleep', '60'], close_fds=False); print(inner.pid, flush=True)"
    code = f"sys.path[:0] = {sys.path!r}\n{HOLDER}".replace('print("ready", flush=True)', inner)
    with child(code, str(file.path)) as other:
        other.popen.kill()
        other.popen.wait()
        try:
            file.lock()
        finally:
            os.kill(int(other.said), signal.SIGKILL)


@pytest.mark.parametrize("where", ["/proc/1/none/file.json", "/dev/null/file.json"])
def test_a_directory_that_cannot_be_used_is_refused(where: str) -> None:
    """Without the file the agent does not begin, and says which setting to change."""
    with pytest.raises(RefusedError, match=r"runtime\.dir"):
        LockedFile(Path(where)).lock()


def test_what_cannot_be_saved_is_an_error(file: LockedFile) -> None:
    """A file in the place of the directory is told to the caller; what is on disk stays whole."""
    file.lock()
    file.save(b"first")
    moved = file.path.parent.rename(file.path.parent.with_name("moved"))
    file.path.parent.touch()
    with pytest.raises(OSError, match="Not a directory"):
        file.save(b"second")
    assert (moved / file.path.name).read_bytes() == b"first"


@pytest.mark.real
def test_a_full_disk_leaves_what_was_there(file: LockedFile) -> None:
    """When the new content does not fit, save raises and the old content stays."""
    file.lock()
    file.save(b"first")
    code = (
        "import resource, signal, sys; from pathlib import Path; from agent.host.runtime_file import LockedFile\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try: LockedFile(Path(sys.argv[1])).save(b'x' * 1000)\n"
        "except OSError as error: print(error.strerror)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file.path)], capture_output=True, text=True, timeout=20)
    assert done.stdout.strip() == "File too large", done.stderr
    assert file.load() == b"first"


def test_a_file_that_cannot_be_read_is_told(file: LockedFile, caplog: pytest.LogCaptureFixture) -> None:
    """An unreadable file is as none, but not in silence."""
    file.lock()
    file.path.mkdir()
    assert file.load() is None
    assert "cannot be read" in caplog.text


def test_a_reader_never_sees_half(file: LockedFile) -> None:
    """Whenever the guard reads, it reads one whole content."""
    file.lock()
    contents = [bytes([65 + number]) * (1000 + number * 100) for number in range(20)]
    file.save(contents[0])
    over = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not over.is_set():
            seen.add(file.path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for content in contents * 20:
        file.save(content)
    over.set()
    reader.join()
    assert seen <= set(contents)


def test_a_write_that_hung_does_not_come_back(file: LockedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that hung and was overtaken by another fails: an older content never replaces a newer one (R3)."""
    file.lock()
    go_on, hangs = threading.Event(), threading.Event()
    caught: list[OSError] = []
    monkeypatch.setattr(os, "fdopen", _hanging_first(os.fdopen, go_on, hangs))

    def save_old() -> None:
        try:
            file.save(b"old")
        except OSError as error:
            caught.append(error)

    thread = threading.Thread(target=save_old)
    thread.start()
    wait_until(hangs.is_set)
    file.save(b"new")
    go_on.set()
    thread.join(10)
    assert file.load() == b"new"
    assert [error.strerror for error in caught] == ["a later content was written meanwhile"]
    file.remove()
    assert list(file.path.parent.glob("*.new")) == []


def test_a_write_that_hung_does_not_come_back_after_the_end(file: LockedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that hung until the file was removed does not bring it back: there is nothing left to guard."""
    file.lock()
    go_on, hangs = threading.Event(), threading.Event()
    monkeypatch.setattr(os, "fdopen", _hanging_first(os.fdopen, go_on, hangs))

    def save_old() -> None:
        with pytest.raises(OSError, match="later content"):
            file.save(b"old")

    thread = threading.Thread(target=save_old)
    thread.start()
    wait_until(hangs.is_set)
    file.remove()
    go_on.set()
    thread.join(10)
    assert file.load() is None


def _hanging_first(real: Callable[..., Any], go_on: threading.Event, hangs: threading.Event) -> Callable[..., Any]:
    """Return a function that hangs at its first call, until `go_on`."""

    def call(*arguments: Any) -> Any:
        if not hangs.is_set():
            hangs.set()
            go_on.wait(10)
        return real(*arguments)

    return call
