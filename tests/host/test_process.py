"""Finding the nodeos process, on real processes: by pid file, by systemd unit, by who listens. None is a proof (R4)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.model.chain import ProcessId
from agent.errors import FenceError
from agent.host import process
from agent.host.process import Held, hold
from agent.nodeos.fence import ProcessFence
from tests.support.children import (
    CLOSES,
    IDLE,
    LOCKS,
    SHARED,
    TCP,
    UNIX,
    WRAPPER,
    await_end,
    child,
    ident,
    listener,
    plan,
    program,
    state_of,
    wait_until,
)

pytestmark = pytest.mark.real
NOWHERE = "http://127.0.0.1:1"


def find(url: str = NOWHERE, **more: str) -> ProcessId | None:
    """Find nodeos as the agent does."""
    return ident(ProcessFence(plan(url, **more)).find())


def listens(port: int) -> bool:
    """Whether anybody takes connections at a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# --- holding ---------------------------------------------------------------------------------------------------------


def test_a_held_process_is_known_by_pid_and_start_time() -> None:
    """A process that is held is the one that was wanted, and no other of the same pid."""
    with child(IDLE) as found:
        assert ident(hold(found.id)) == found.id
        assert hold(ProcessId(found.id.pid, found.id.start_ticks + 1)) is None
        held = Held(found.id.pid)
        assert not held.wait_gone(0.0)
        found.popen.kill()
        assert held.wait_gone(5.0)
        held.signal(signal.SIGKILL)  # to one that is gone: nothing
        held.close()
        held.close()
    assert hold(found.id) is None


def test_a_zombie_is_gone() -> None:
    """A zombie runs no code: nobody finds it, so that a parent which does not reap makes no process flicker."""
    with child(IDLE) as found:
        os.kill(found.id.pid, signal.SIGKILL)
        wait_until(lambda: state_of(found.id.pid) == "Z")
        assert hold(found.id) is None
        with pytest.raises(ProcessLookupError):
            Held(found.id.pid)


def test_a_process_that_may_not_be_looked_at_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc hides a live process (hidepid) nobody may take it for gone (R4)."""

    def hidden(_pid: int) -> int:
        raise FileNotFoundError

    with child(IDLE) as found:
        monkeypatch.setattr(process, "start_ticks", hidden)
        with pytest.raises(FenceError, match="hidepid"):
            hold(found.id)


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), OSError(38, "Function not implemented")])
def test_a_handle_that_cannot_be_had_is_a_fence_error(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    """No descriptor left, or a kernel without pidfd, is told as what it is, and not as a process that is gone."""

    def refuse(_pid: int, _flags: int = 0) -> int:
        raise error

    monkeypatch.setattr(os, "pidfd_open", refuse)
    with pytest.raises(FenceError, match=str(error.strerror)):
        hold(ProcessId(1, 1))


# --- by pid file -----------------------------------------------------------------------------------------------------


def test_a_pid_file_names_the_process(tmp_path: Path) -> None:
    """A pid file is taken at its word when nothing speaks against it."""
    file = tmp_path / "nodeos.pid"
    fence = ProcessFence(plan(NOWHERE, pid_file=str(file)))
    with child(IDLE) as found:
        file.write_text(f"{found.id.pid}\n")
        assert ident(fence.find()) == found.id
        found.popen.kill()
        found.popen.wait()
        assert fence.find() is None
    file.unlink()
    assert fence.find() is None


@pytest.mark.parametrize("content", [b"", b"abc", b"-1", b"0", b"12 34", "²".encode(), b"\xff\xfe", b"9" * 30])
def test_a_pid_file_that_names_no_pid_is_an_error(tmp_path: Path, content: bytes) -> None:
    """Whatever stands in the file, it is an answer or a FenceError that names the setting."""
    file = tmp_path / "nodeos.pid"
    file.write_bytes(content)
    with pytest.raises(FenceError, match=r"fence\.pid_file"):
        find(pid_file=str(file))


def test_a_stale_pid_file_takes_nobody(tmp_path: Path) -> None:
    """A pid that was used again after the file was written is somebody else's: that process is left alone."""
    file = tmp_path / "nodeos.pid"
    with child(IDLE) as found:
        file.write_text(str(found.id.pid))
        os.utime(file, (time.time() - 60, time.time() - 60))
        with pytest.raises(FenceError, match="names no process"):
            ProcessFence(plan(NOWHERE, pid_file=str(file))).stop(0.0, 1.0)
        assert found.alive


def test_a_pid_file_that_only_looks_stale_is_believed(tmp_path: Path) -> None:
    """A clock that was set after nodeos started makes its pid file look old; who listens there is nodeos yet."""
    file = tmp_path / "nodeos.pid"
    with listener() as found:
        file.write_text(str(found.id.pid))
        os.utime(file, (time.time() - 3600, time.time() - 3600))
        assert find(f"http://127.0.0.1:{found.said}", pid_file=str(file)) == found.id


def test_a_pid_file_of_nobody_does_not_hide_a_listener(tmp_path: Path) -> None:
    """Without a process by the pid file, yet with a listener at nodeos's address, nobody may say that it is gone."""
    with listener() as found, pytest.raises(FenceError, match=f"pid {found.id.pid} listens"):
        find(f"http://127.0.0.1:{found.said}", pid_file=str(tmp_path / "none"))


def test_a_pid_file_of_another_process_is_refused(tmp_path: Path) -> None:
    """A pid file that names one process while another answers as nodeos: ending the wrong one would prove nothing."""
    file = tmp_path / "nodeos.pid"
    with listener() as found, child(IDLE) as other:
        file.write_text(str(other.id.pid))
        with pytest.raises(FenceError, match=f"pid {found.id.pid} listens"):
            find(f"http://127.0.0.1:{found.said}", pid_file=str(file))


def test_a_pid_file_counts_where_nobody_can_tell_who_listens(tmp_path: Path) -> None:
    """When the name of nodeos's host cannot be resolved its pid file is all there is; without it nothing is told."""
    file = tmp_path / "nodeos.pid"
    with child(IDLE) as found:
        file.write_text(str(found.id.pid))
        assert find("http://no-such-host.invalid:8888", pid_file=str(file)) == found.id
        file.unlink()
        with pytest.raises(FenceError, match="no-such-host"):
            find("http://no-such-host.invalid:8888", pid_file=str(file))


@pytest.mark.parametrize("listens", [True, False])
def test_behind_a_wrapper_nodeos_itself_is_found(tmp_path: Path, listens: bool) -> None:
    """A pid file of a start script: its child is nodeos, while it replays as well, and only that child's end counts."""
    file = tmp_path / "nodeos.pid"
    code, script = f"import socket, sys\n{TCP if listens else IDLE}", program(tmp_path, "bash")
    with child(WRAPPER, sys.executable, code, "127.0.0.1", "0", "", python=script) as wrapper:
        file.write_text(str(wrapper.id.pid))
        found = find(f"http://127.0.0.1:{wrapper.said}" if listens else NOWHERE, pid_file=str(file))
        assert found is not None
        assert found.pid != wrapper.id.pid
        assert ProcessFence(plan(NOWHERE), found).stop(0.0, 2.0) == "ended by SIGKILL"


def test_a_fork_of_itself_is_no_other_program(tmp_path: Path) -> None:
    """While it replays a nodeos listens nowhere, and has forked the monitor that compiles contracts: it is found."""
    file = tmp_path / "nodeos.pid"
    with child(f"os.fork()\n{IDLE}") as nodeos:
        file.write_text(str(nodeos.id.pid))
        assert find(pid_file=str(file)) == nodeos.id


# --- by listener -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listens", "host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "127.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::1", "[::1]"),
        ("::", "[::1]"),
        ("127.0.0.1", "localhost"),
        ("0.0.0.0", "localhost"),
    ],
)
def test_who_listens_on_tcp_is_found(listens: str, host: str) -> None:
    """A listener is found at its address and at any, in both families, without asking what it is."""
    with listener(listens) as found:
        fence = ProcessFence(plan(f"http://{host}:{found.said}"))
        assert ident(fence.find()) == found.id
    assert fence.find() is None


@pytest.mark.parametrize(("listens", "host"), [("::1", "127.0.0.1"), ("0.0.0.0", "[::1]"), ("127.0.0.2", "127.0.0.1")])
def test_who_listens_elsewhere_is_not_taken(listens: str, host: str) -> None:
    """Another address of this host, with the same port, is another program."""
    with listener(listens) as found, pytest.raises(FenceError, match="nobody listens"):
        find(f"http://{host}:{found.said}")


def test_the_nearest_listener_wins() -> None:
    """Beside a listener at the very address, one at any address of the other family is another program."""
    with listener("127.0.0.1") as nodeos, listener("::", nodeos.said, "only"):
        assert find(f"http://127.0.0.1:{nodeos.said}") == nodeos.id


def test_two_listeners_are_not_guessed_between() -> None:
    """Two programs at one address (SO_REUSEPORT): the agent says so instead of ending one of them."""
    with (
        child(SHARED, "0") as first,
        child(SHARED, first.said),
        pytest.raises(FenceError, match="several nodeos"),
    ):
        find(f"http://127.0.0.1:{first.said}")


def test_a_connection_is_no_listener() -> None:
    """Whoever is only connected with the port does not listen."""
    with listener() as found, socket.create_connection(("127.0.0.1", int(found.said))):
        fence = ProcessFence(plan(f"http://127.0.0.1:{found.said}"))
        assert ident(fence.find()) == found.id
        found.popen.kill()
        found.popen.wait()
        assert fence.find() is None


@pytest.mark.parametrize("way", ["direct", "symlink"])
def test_who_listens_on_a_unix_socket_is_found(tmp_path: Path, way: str) -> None:
    """A Unix socket is found by its path, also when our path leads there by a link (/var/run and /run)."""
    (tmp_path / "symlink").symlink_to(tmp_path)
    path = tmp_path / "s"
    url = f"unix://{tmp_path}/s" if way == "direct" else f"unix://{tmp_path}/symlink/s"
    fence = ProcessFence(plan(url))
    with child(UNIX, str(path)) as found:
        assert ident(fence.find()) == found.id
    assert fence.find() is None  # the file stays behind, and refuses
    path.unlink()
    assert fence.find() is None


def test_a_unix_socket_of_a_relative_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nodeos binds its socket by a path that is relative to its directory: the kernel tells a client who listens."""
    monkeypatch.chdir(tmp_path)
    fence = ProcessFence(plan(f"unix://{tmp_path}/s"))
    with child(UNIX, "s") as found:
        assert ident(fence.find()) == found.id
    assert fence.find() is None


def test_a_frozen_listener_is_found(tmp_path: Path) -> None:
    """A nodeos that is frozen, its queue of connections full, is there."""
    path = tmp_path / "s"
    with child(UNIX, str(path)) as found, ExitStack() as clients:
        for _ in range(4):
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(str(path))
        os.kill(found.id.pid, signal.SIGSTOP)
        assert find(f"unix://{path}") == found.id
        os.kill(found.id.pid, signal.SIGCONT)


@pytest.fixture
def ownerless() -> Iterator[int]:
    """Listen on a port with a socket that no process has open: it is on its way between two."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        left, right = socket.socketpair()
        socket.send_fds(left, [b"x"], [server.fileno()])
    yield port
    left.close()
    right.close()


def test_a_listener_without_a_process_is_not_gone(ownerless: int) -> None:
    """Somebody listens whose process cannot be seen, as in another container: that is no proof of anything (R4)."""
    with pytest.raises(FenceError, match="cannot be seen"):
        find(f"http://127.0.0.1:{ownerless}")


def test_a_url_of_another_host_is_not_gone() -> None:
    """Nobody listens here at an address that is not ours: that says nothing about nodeos."""
    with pytest.raises(FenceError, match="no address of this host"):
        find("http://192.0.2.1:8888")


def test_a_name_that_cannot_be_resolved_is_an_error() -> None:
    """A host name without an address is told, within the deadline."""
    begin = time.monotonic()
    with pytest.raises(FenceError, match=r"nodeos\.url"):
        find("http://no-such-host.invalid:8888")
    assert time.monotonic() - begin < 3.0


@pytest.mark.parametrize(
    ("spaces", "says"), [(("--net",), "is not nodeos"), (("--net", "--pid", "--fork", "--mount-proc"), "answers")]
)
def test_a_socket_of_another_namespace_is_not_gone(tmp_path: Path, spaces: tuple[str, ...], says: str) -> None:
    """What answers on a shared Unix socket lives, though this network or process namespace knows nothing of it."""
    code = (
        "import sys; from agent.nodeos.fence import ProcessFence; from agent.nodeos.finder import FencePlan\n"
        "try: print(ProcessFence(FencePlan(sys.argv[1])).find())\nexcept Exception as e: print(type(e).__name__, e)"
    )
    command = ["unshare", "--map-root-user", *spaces, sys.executable, "-c", code, f"unix://{tmp_path}/s"]
    with child(UNIX, str(tmp_path / "s")):
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    if done.returncode:
        pytest.skip(f"no namespaces here: {done.stderr.strip()}")
    assert done.stdout.startswith("FenceError"), done.stdout
    assert says in done.stdout


FORWARDERS = ("conmon", "lighttpd", "patroneosd", "docker-proxy", "systemd", "nodeo", "nodeos2", "keosd", "Nodeos")


def proves_nothing(fence: ProcessFence, says: str) -> None:
    """Neither a look nor a stop tells that nodeos is gone."""
    with pytest.raises(FenceError, match=says):
        fence.find()
    with pytest.raises(FenceError, match=says):
        fence.stop(0.0, 1.0)


@pytest.mark.parametrize("name", FORWARDERS)
def test_what_listens_is_not_nodeos_whatever_its_name(tmp_path: Path, name: str) -> None:
    """A program that listens and is not nodeos is never found, never ended, and its end is no proof (R4)."""
    with listener(python=program(tmp_path, name)) as forwarder:
        fence = ProcessFence(plan(f"http://127.0.0.1:{forwarder.said}"))
        with pytest.raises(FenceError, match=rf"{name}.*fence\.executable"):
            fence.find()
        with pytest.raises(FenceError, match=name):
            fence.stop(0.0, 1.0)
        assert forwarder.alive
    for _ in range(2):
        proves_nothing(fence, "nothing proves")


def test_a_name_in_the_kernel_makes_no_nodeos(tmp_path: Path) -> None:
    """A program may call itself what it likes, in /proc/PID/comm and in its arguments: its executable file counts."""
    code = "open('/proc/self/comm', 'w').write('nodeos')\n" + TCP
    with child(code, "127.0.0.1", "0", "", python=program(tmp_path, "relay")) as relay:
        with pytest.raises(FenceError, match="is not"):
            find(f"http://127.0.0.1:{relay.said}")
        with pytest.raises(FenceError, match="is not"):
            find(f"http://127.0.0.1:{relay.said}", executable="nodeos")


def test_behind_a_forwarder_nodeos_is_found_by_its_pid_file(tmp_path: Path) -> None:
    """Named by its pid file nodeos is known though a forwarder listens, which may end or start as it likes."""
    file = tmp_path / "nodeos.pid"
    relay = program(tmp_path, "nginx")
    with child(IDLE) as nodeos:
        file.write_text(str(nodeos.id.pid))
        with listener(python=relay) as forwarder:
            fence = ProcessFence(plan(f"http://127.0.0.1:{forwarder.said}", pid_file=str(file)))
            assert ident(fence.find()) == nodeos.id
        assert ident(fence.find()) == nodeos.id
        with listener(port=forwarder.said, python=relay):
            assert ident(fence.find()) == nodeos.id
            assert fence.stop(0.0, 1.0) == "ended by SIGKILL"
            assert fence.stop(0.0, 1.0) == "was gone already"
            with pytest.raises(FenceError, match="nginx"):
                fence.find()  # what answers behind it may be another nodeos
        assert ProcessFence(plan(NOWHERE, pid_file=str(file)), nodeos.id).find() is None


def test_behind_a_forwarder_nodeos_is_found_by_the_lock_of_its_database(tmp_path: Path) -> None:
    """One process at a time has the database of nodeos.data_dir: that is nodeos, whatever listens in front of it."""
    data, relay = tmp_path / "data", program(tmp_path, "lighttpd")
    with child(LOCKS, str(data)) as nodeos:
        with listener(python=relay) as forwarder:
            fence = ProcessFence(plan(f"http://127.0.0.1:{forwarder.said}", data_dir=str(data)))
            assert ident(fence.find()) == nodeos.id
        assert ident(fence.find()) == nodeos.id
        with listener(port=forwarder.said, python=relay):
            assert fence.stop(0.0, 1.0) == "ended by SIGKILL"
            with pytest.raises(FenceError, match="lighttpd"):
                fence.find()


def test_a_pid_file_of_another_nodeos_is_refused(tmp_path: Path) -> None:
    """Behind a forwarder a pid file may name another nodeos of this host: the lock of its database tells (R4)."""
    data, file = tmp_path / "data", tmp_path / "nodeos.pid"
    with (
        child(LOCKS, str(data)) as nodeos,
        child(IDLE) as other,
        listener(python=program(tmp_path, "lighttpd")) as forwarder,
    ):
        url = f"http://127.0.0.1:{forwarder.said}"
        file.write_text(str(other.id.pid))
        with pytest.raises(FenceError, match=r"nodeos\.data_dir is of another"):
            find(url, pid_file=str(file), data_dir=str(data))
        file.write_text(str(nodeos.id.pid))
        assert find(url, pid_file=str(file), data_dir=str(data)) == nodeos.id


def test_a_lock_of_another_program_makes_no_nodeos(tmp_path: Path) -> None:
    """A backup that locks the database, or a file that nobody has locked, tells nothing."""
    data, other = tmp_path / "data", program(tmp_path, "backup")
    with child(LOCKS, str(data), python=other), listener(python=other) as forwarder:
        for place in (data, tmp_path):
            with pytest.raises(FenceError, match="backup"):
                find(f"http://127.0.0.1:{forwarder.said}", data_dir=str(place))


def test_a_forwarder_put_in_front_later_hides_the_next_nodeos(tmp_path: Path) -> None:
    """The nodeos that was known is gone, and what stands behind a forwarder in its place may run: no proof (R4)."""
    with listener() as nodeos:
        fence = ProcessFence(plan(f"http://127.0.0.1:{nodeos.said}"))
        assert ident(fence.find()) == nodeos.id
    assert fence.find() is None
    with listener(port=nodeos.said, python=program(tmp_path, "haproxy")), pytest.raises(FenceError, match="haproxy"):
        fence.find()
    proves_nothing(fence, "nothing proves")


def test_a_nodeos_that_no_longer_listens_is_not_gone() -> None:
    """One that was known and lives is found, though it has closed its listener, as on its way to the end."""
    with child(CLOSES) as nodeos:
        fence = ProcessFence(plan(f"http://127.0.0.1:{nodeos.said}"))
        assert ident(fence.find()) == nodeos.id
        os.kill(nodeos.id.pid, signal.SIGUSR1)
        wait_until(lambda: not listens(int(nodeos.said)))
        assert ident(fence.find()) == nodeos.id


def test_a_listener_shared_with_another_program_is_not_taken(tmp_path: Path) -> None:
    """Who answers is not sure where nodeos and a forwarder listen at one address (SO_REUSEPORT): nothing is ended."""
    with (
        child(SHARED, "0") as nodeos,
        child(SHARED, nodeos.said, python=program(tmp_path, "socat")),
        pytest.raises(FenceError, match="socat"),
    ):
        find(f"http://127.0.0.1:{nodeos.said}")


@pytest.mark.parametrize(
    ("path", "executable", "is_it"),
    [
        ("/usr/bin/nodeos", "nodeos", True),
        ("/usr/bin/nodeos (deleted)", "nodeos", True),
        ("/opt/spring/bin/nodeos", "/usr/bin/nodeos", False),
        ("/usr/bin/nodeos (deleted)", "/usr/bin/nodeos", True),
        ("/usr/bin/nodeos-5.0.3", "nodeos", False),
        ("/usr/bin/nodeos-5.0.3", "nodeos-5.0.3", True),
        ("/tmp/.mount_x/usr/bin/nodeos", "nodeos", True),
        ("/nodeos/bash", "nodeos", False),
        ("/usr/bin/not-nodeos", "nodeos", False),
        ("", "nodeos", False),
    ],
)
def test_the_executable_file_tells(monkeypatch: pytest.MonkeyPatch, path: str, executable: str, is_it: bool) -> None:
    """The file name must be the very one, wherever it stands and whether or not an upgrade replaced it since."""
    monkeypatch.setattr(os, "readlink", lambda _path: path)
    assert process.runs(os.getpid(), executable) is is_it


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1))
def test_no_other_name_is_nodeos(name: str) -> None:
    """Whatever a program is called, it is nodeos only by that very name (R4)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "readlink", lambda _path: f"/usr/bin/{name}")
        assert process.runs(1, "nodeos") is (name in ("nodeos", "nodeos (deleted)"))


@pytest.mark.parametrize(
    ("arguments", "comm", "is_it"),
    [
        (b"/usr/bin/nodeos\0--config-dir\0/etc\0", "nodeos", True),
        (b"/bin/bash\0/usr/bin/nodeos\0", "nodeos", False),  # a script of that name
        (b"docker\0run\0nodeos\0", "docker", False),
        (b"nodeos\0", "docker", False),
        (b"", "nodeos", False),
    ],
)
def test_of_another_user_name_and_first_argument_tell(
    monkeypatch: pytest.MonkeyPatch, arguments: bytes, comm: str, is_it: bool
) -> None:
    """Where the executable file of another user's process may not be read, both must say nodeos."""

    def refuse(_path: str) -> str:
        raise PermissionError

    monkeypatch.setattr(os, "readlink", refuse)
    monkeypatch.setattr(Path, "read_bytes", lambda _path: arguments)
    monkeypatch.setattr(process, "comm", lambda _pid: comm)
    assert process.runs(1, "nodeos") is is_it


# --- by systemd unit -------------------------------------------------------------------------------------------------


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a systemctl of our own first on PATH."""

    def install(script: str) -> None:
        file = tmp_path / "bin" / "systemctl"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{file.parent}:{os.environ['PATH']}")

    return install


def shows(pid: int, load: str = "loaded", active: str = "active") -> str:
    """Return a script that shows a unit; only the right question is answered."""
    return f"""[ "$1 $3 $4" = "show -- nodeos.service" ] || exit 9
echo MainPID={pid}
echo LoadState={load}
echo ActiveState={active}"""


def test_the_main_process_of_a_unit_is_found(systemctl: Callable[[str], None]) -> None:
    """A unit is asked for its main process."""
    fence = ProcessFence(plan(NOWHERE, unit="nodeos.service"))
    with child(IDLE) as found:
        systemctl(shows(found.id.pid))
        assert ident(fence.find()) == found.id
        found.popen.kill()
        found.popen.wait()
        assert fence.find() is None
    for active in ("inactive", "failed", "activating"):
        systemctl(shows(0, active=active))
        assert fence.find() is None


def test_what_a_unit_starts_need_not_be_nodeos(systemctl: Callable[[str], None], tmp_path: Path) -> None:
    """`docker run` in a unit: nodeos is no child of its client and goes on without it: no fence, no proof (R4)."""
    fence = ProcessFence(plan(NOWHERE, unit="nodeos.service"))
    with child(IDLE), child(IDLE, python=program(tmp_path, "docker")) as client:
        systemctl(shows(client.id.pid))
        with pytest.raises(FenceError, match=rf"docker .pid {client.id.pid}.*fence\.pid_file"):
            fence.find()
        with pytest.raises(FenceError, match="docker"):
            fence.stop(0.0, 1.0)
        assert client.alive
    for active in ("inactive", "failed", "activating"):
        systemctl(shows(0, active=active))
        proves_nothing(fence, "nothing proves")


def test_nodeos_below_what_a_unit_starts_is_found(systemctl: Callable[[str], None], tmp_path: Path) -> None:
    """Podman's conmon, or a start script, as main process: nodeos is its child, and with that one's end it is over."""
    fence = ProcessFence(plan(NOWHERE, unit="nodeos.service"))
    with child(WRAPPER, sys.executable, f"import sys; {IDLE}", python=program(tmp_path, "conmon")) as conmon:
        systemctl(shows(conmon.id.pid))
        found = ident(fence.find())
        assert found is not None
        assert process.parent(found.pid) == conmon.id.pid
        assert fence.stop(0.0, 1.0) == "ended by SIGKILL"
        await_end(conmon.id.pid)
        assert fence.find() is None


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (shows(0, load="not-found", active="inactive"), "no such unit"),
        (shows(0, active="active"), "no main process"),
        ("exit 1", "did not tell"),
        ("echo nonsense", "did not tell"),
        ("exec sleep 60", "did not tell"),
    ],
)
def test_a_unit_that_cannot_be_told_is_an_error(systemctl: Callable[[str], None], script: str, says: str) -> None:
    """A unit that is not there, one whose process systemd does not know, a systemctl that fails or hangs: no answer."""
    systemctl(script)
    begin = time.monotonic()
    with pytest.raises(FenceError, match=says):
        find(unit="nodeos.service")
    assert time.monotonic() - begin < 3.0


def test_without_systemctl_a_unit_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without systemd cannot have a unit."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FenceError, match="systemctl"):
        find(unit="nodeos.service")


def test_the_processor_time_of_a_process_grows_while_it_works() -> None:
    """In ms, of all its threads; a process that is not there has none."""
    before = process.cpu_ms(os.getpid())
    assert before is not None
    ends = time.monotonic() + 20
    while (process.cpu_ms(os.getpid()) or 0) < before + 50:
        assert time.monotonic() < ends
    assert process.cpu_ms(2**22 + 1) is None
