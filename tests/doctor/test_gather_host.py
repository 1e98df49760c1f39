"""What doctor sees of the host, of the agent beside it, and of the ways to the alert channels."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.config.alerts import AlertChannel
from agent.config.model import Config
from agent.doctor import agent, host
from agent.doctor.agent import AgentFacts, ChannelFact
from tests.doctor.parts import config
from tests.lab.tls import make_certificates
from tests.support.children import wait_until
from tests.support.slow_server import Serve, answer, request

MOUNTS = """\
overlay / overlay rw 0 0
tmpfs {below} tmpfs rw 0 0
ext4 {below}/run ext4 rw 0 0
xfs {below}/runtime xfs rw 0 0
"""


class Kernel:
    """Stands in for the C library: `adjtimex` gives a state and fills in an estimated error and a status."""

    def __init__(self, state: int, error_us: int = 0, status: int = 0) -> None:
        self._found = state, error_us, status

    def adjtimex(self, timex: Any) -> int:
        """Answer as the kernel does."""
        state, error_us, status = self._found
        words = timex._obj
        words[3], words[4], words[5] = 16_000_000, error_us, status
        return state


@pytest.mark.parametrize(
    ("kernel", "found"),
    [
        (Kernel(0, 2500, 0x2001), (True, 0.0025, "")),
        (Kernel(5, 16_000_000, 0x40), (False, 16.0, "")),
        (Kernel(-1), (None, 0.0, f"adjtimex: {os.strerror(0)}")),
    ],
)
def test_the_kernel_tells_whether_its_clock_is_set(
    kernel: Kernel, found: tuple[bool | None, float, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its flag and its estimated error, in seconds; a kernel that says neither leaves it unknown."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *_words, **_more: kernel)
    monkeypatch.setattr(ctypes, "get_errno", lambda: 0)
    facts = host.gather(config())
    assert (facts.synchronised, facts.clock_error_s, facts.clock_failure) == found


def test_a_host_without_adjtimex_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library that cannot be loaded leaves the clock unknown, with its error."""

    def missing(*_words: object, **_more: object) -> None:
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    facts = host.gather(config())
    assert (facts.synchronised, facts.clock_error_s) == (None, 0.0)
    assert facts.clock_failure == "adjtimex: no such library"


def test_the_space_below_the_data_directory_is_seen(tmp_path: Path) -> None:
    """In bytes: what others than root may still use, and all there is."""
    facts = host.gather(config(nodeos={"data_dir": str(tmp_path)}))
    seen = os.statvfs(tmp_path)
    assert facts.disk_error == ""
    assert facts.disk_free is not None
    assert facts.disk_total == seen.f_blocks * seen.f_frsize
    assert 0 < facts.disk_free <= facts.disk_total - (seen.f_bfree - seen.f_bavail) * seen.f_frsize


def test_a_data_directory_that_is_gone_or_not_named_has_no_space(tmp_path: Path) -> None:
    """The one is told with its path, the other is no error."""
    gone = tmp_path / "gone"
    gone.mkdir()
    lost = config(nodeos={"data_dir": str(gone)})
    gone.rmdir()
    facts = host.gather(lost)
    assert (facts.disk_free, facts.disk_total) == (None, 0)
    assert facts.disk_error == f"{gone}: No such file or directory"
    facts = host.gather(config(nodeos={"data_dir": None}))
    assert (facts.disk_free, facts.disk_total, facts.disk_error) == (None, 0, "")


@pytest.mark.parametrize(
    ("where", "kind"), [("", "tmpfs"), ("run", "ext4"), ("run/deeper", "ext4"), ("runtime", "xfs"), ("other", "tmpfs")]
)
def test_the_file_system_of_the_run_time_directory_is_that_of_the_longest_mount(
    where: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole names of directories count: `run` is not above `runtime`."""
    directory = tmp_path / where
    directory.mkdir(parents=True, exist_ok=True)
    read = Path.read_text
    text = MOUNTS.format(below=tmp_path.resolve())

    def mounts(path: Path, *words: Any, **more: Any) -> str:
        return text if str(path) == "/proc/self/mounts" else read(path, *words, **more)

    monkeypatch.setattr(Path, "read_text", mounts)
    assert host.gather(config(runtime={"dir": str(directory)})).runtime_fs == kind


def test_the_root_is_above_every_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a nearer mount its file system is the one."""
    whole = config(runtime={"dir": str(tmp_path)})
    monkeypatch.setattr(Path, "read_text", lambda _path: "proc /proc proc rw 0 0\noverlay / overlay rw 0 0\n")
    assert host.gather(whole).runtime_fs == "overlay"


def test_a_run_time_directory_that_does_not_exist_has_no_file_system(tmp_path: Path) -> None:
    """It is made by the agent, so that its absence is no finding here."""
    assert host.gather(config(runtime={"dir": str(tmp_path / "gone")})).runtime_fs == ""


def listening(port: int, **http: str) -> Config:
    """Return a configuration whose agent shows its pages on a port."""
    return config(http={"listen": f"127.0.0.1:{port}", **http})


def test_the_agent_is_asked_with_its_token(serve: Serve) -> None:
    """Its status is what it answers to a reader that shows the token, and the process that listens is its own."""
    heard: list[bytes] = []

    def talk(client: socket.socket) -> None:
        heard.append(request(client)[0])
        client.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"phase": "standby"}')

    facts = agent.gather(listening(serve(talk).port, token="t" * 20))
    assert facts.status == {"phase": "standby"}
    assert facts.error == ""
    assert facts.pid == os.getpid()
    assert heard[0].startswith(b"GET /status ")
    assert b"authorization: bearer " + b"t" * 20 in heard[0].lower()


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        ("200 OK", b"[]", "answers with 200"),
        ("404 Not Found", b"{}", "answers with 404"),
        ("200 OK", b"<html>", "answers something else"),
    ],
)
def test_what_answers_but_is_no_agent_is_told(serve: Serve, status: str, body: bytes, word: str) -> None:
    """Another program on the port: its status code or its answer give it away."""
    facts = agent.gather(listening(serve(answer(status, body)).port))
    assert facts.status is None
    assert word in facts.error


def test_an_agent_that_does_not_answer_or_has_no_pages_is_told() -> None:
    """Nothing listens, or nothing could."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert agent.gather(listening(port)).error.startswith("it does not answer: ")
    assert agent.gather(config(http={"listen": ""})) == AgentFacts(error="http.listen is empty, so it cannot be asked")


def supervised(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> AgentFacts:
    """Return what is seen of agent 76 with these files of /proc."""
    monkeypatch.delenv("KUBERNETES_PORT", raising=False)
    monkeypatch.setattr(agent, "_read", lambda path: files.get(str(path), ""))
    monkeypatch.setattr(Path, "exists", lambda _path: False)
    return agent._supervised({"phase": "standby"}, 76)


def test_a_guard_as_parent_keeps_the_agent_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent's command line tells it, also in a unit of systemd: the guard restarts what systemd would not see."""
    files = {
        "/proc/76/cgroup": "0::/system.slice/bp.service\n",
        "/proc/76/status": "Name:\tpython\nTPid:\t3\nPPid:\t12\n",
        "/proc/12/cmdline": "nodeos-failover\0guard\0",
    }
    found = supervised(monkeypatch, files)
    assert (found.pid, found.supervised, found.unit) == (76, "guard", "bp.service")


def test_the_unit_of_the_agent_tells_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What systemd shows of it is read name by name; a value may have an `=` in it."""
    asked: list[list[str]] = []

    def run(command: list[str], **_more: object) -> subprocess.CompletedProcess[bytes]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, b"Type=notify\nExecStopPost={ path=/x ; }\n\nnothing\n", b"")

    monkeypatch.setattr(subprocess, "run", run)
    files = {
        "/proc/76/cgroup": "0::/system.slice/bp.service\n",
        "/proc/76/status": "PPid:\t1\n",
        "/proc/1/cmdline": "init\0",
    }
    found = supervised(monkeypatch, files)
    assert (found.supervised, found.unit) == ("systemd", "bp.service")
    assert found.settings == {"Type": "notify", "ExecStopPost": "{ path=/x ; }"}
    assert (*asked[0][:2], *asked[0][3:]) == ("systemctl", "show", "--", "bp.service")
    wanted = asked[0][2].removeprefix("--property=").split(",")
    assert {"Type", "WatchdogUSec", "ExecStopPost", "Restart"} <= set(wanted)


@pytest.mark.parametrize("failure", [FileNotFoundError(), subprocess.TimeoutExpired("systemctl", 2.0)])
def test_a_systemd_that_does_not_answer_tells_no_settings(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its absence or its silence ends in no settings, not in a defect."""

    def run(*_words: object, **more: Any) -> None:
        assert 0 < more["timeout"] <= 5
        raise failure

    monkeypatch.setattr(subprocess, "run", run)
    found = supervised(monkeypatch, {"/proc/76/cgroup": "0::/system.slice/bp.service\n"})
    assert (found.supervised, found.settings) == ("systemd", {})


@pytest.mark.parametrize("mark", ["/.dockerenv", "/run/.containerenv", "KUBERNETES_PORT"])
def test_a_container_is_told_by_its_marks(mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker and Podman leave a file, Kubernetes a variable; without one nothing keeps the agent running."""
    assert supervised(monkeypatch, {}).supervised == ""
    if mark.startswith("/"):
        monkeypatch.setattr(Path, "exists", lambda path: str(path) == mark)
    else:
        monkeypatch.setenv(mark, "tcp://10.0.0.1:443")
    found = agent._supervised({"a": 1}, 76)
    assert (found.status, found.pid, found.supervised) == ({"a": 1}, 76, "container")
    assert agent._supervised({"a": 1}, None) == AgentFacts({"a": 1})


def channel(url: str, kind: str = "webhook", **other: Any) -> AlertChannel:
    """Return a channel that points somewhere."""
    return AlertChannel.model_validate({"name": "ops", "type": kind, "url": url, **other})


def test_a_channel_is_tried_without_sending(serve: Serve) -> None:
    """One that accepts is well, nothing is sent to it; one where nothing listens is told without its URL."""
    heard: list[bytes] = []
    server = serve(lambda sock: heard.append(sock.recv(100)))
    url = f"http://127.0.0.1:{server.port}/secret-path"
    assert agent.channel(channel(url)) == ChannelFact("ops")
    wait_until(lambda: heard)
    server.close()
    assert heard == [b""]
    refused = agent.channel(channel(url))
    assert refused == ChannelFact("ops", "nothing listens where it points")


def test_a_channel_with_tls_shall_speak_it(serve: Serve, tmp_path: Path) -> None:
    """Its handshake is part of the way; a wrong ca_file and a plain server are told."""
    files = make_certificates(tmp_path)
    url = f"https://127.0.0.1:{serve(answer('400 Bad Request')).port}/x"
    plain = agent.channel(channel(url, ca_file=str(files.ca)))
    assert plain.error.startswith("no connection: ")
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    assert agent.channel(channel(url, ca_file=str(broken))).error == "its ca_file cannot be used"


def test_a_channel_behind_a_proxy_is_looked_for_through_it(serve: Serve) -> None:
    """The proxy is asked for the way to the channel: nothing else may be open. One that refuses is told."""
    asked: list[bytes] = []

    def refuse(sock: socket.socket) -> None:
        asked.append(sock.recv(1000))
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

    proxy = f"http://127.0.0.1:{serve(refuse).port}"
    found = agent.channel(channel("https://hooks.invalid/x", proxy=proxy))
    assert asked[0].startswith(b"CONNECT hooks.invalid:443 HTTP/1.1\r\n")
    assert found.error == "no connection: hooks.invalid:443: no connection: the proxy answers 403"


def test_a_channel_of_a_library_is_not_tried() -> None:
    """Where apprise sends is not ours to know."""
    assert agent.channel(channel("json://127.0.0.1/x", "apprise")) == ChannelFact("ops", untried=True)
