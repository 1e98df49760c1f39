"""What doctor asks of nodeos, and what it sees of its process, its sockets and its config.ini."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.core.model.chain import Peers, Schedule
from agent.doctor import gather_nodeos
from agent.doctor.gather_nodeos import NodeosFacts
from agent.errors import NodeosAnswer, NodeosTimeout, NodeosUnreachable
from agent.host.deadline import Deadline
from tests.doctor.parts import INFO, config
from tests.support.recorder import Recorder


class Node(Recorder):
    """Stands in for nodeos, and for what makes a client of it; `urls`: of which nodeos."""

    def __init__(self) -> None:
        super().__init__({"info": INFO, "paused": True, "peers": Peers(3, 2), "schedule": Schedule(1, ())})
        self.urls: list[tuple[str, ...]] = []

    def __call__(self, *urls: str) -> Node:
        """Make a client."""
        self.urls.append(urls)
        return self


@pytest.fixture(autouse=True)
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    """Let every client be one that answers well."""
    made = Node()
    monkeypatch.setattr(gather_nodeos, "HttpNodeos", made)
    monkeypatch.setattr(gather_nodeos, "own_addresses", list)
    return made


@contextmanager
def program(words: list[str], environ: dict[str, str] | None = None, cwd: Path | None = None) -> Iterator[int]:
    """Run a program with these arguments, and yield its pid."""
    command = ["/bin/sh", "-s", "--", *words]
    with subprocess.Popen(command, env=environ, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
        assert popen.stdin is not None
        assert popen.stdout is not None
        try:
            popen.stdin.write(b"echo begun\n")
            popen.stdin.flush()
            assert popen.stdout.readline() == b"begun\n"
            yield popen.pid
        finally:
            popen.kill()


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def facts(within_s: float = 5.0, **nodeos: Any) -> NodeosFacts:
    """Gather of a nodeos at a free port, where nothing listens."""
    url = {"url": f"http://127.0.0.1:{free_port()}"}
    return gather_nodeos.gather(config(nodeos={**url, **nodeos}), within_s)


def test_every_answer_of_nodeos_is_a_fact(node: Node) -> None:
    """Five questions, each with a limit of its own; the producer API is asked at its own address."""
    found = facts(producer_url="http://127.0.0.1:1")
    assert (found.info, found.paused) == (INFO, True)
    assert (found.peers, found.schedule) == (Peers(3, 2), Schedule(1, ()))
    assert (found.producer_missing, found.net_missing) == (False, False)
    assert (found.info_error, found.paused_error, found.peers_error, found.schedule_error) == ("", "", "", "")
    assert node.names == ["info", "paused", "peers", "schedule", "finality"]
    assert all(0 < limit <= 2.0 for limit in node.spans)
    assert node.urls[0][1] == "http://127.0.0.1:1"


def test_little_time_is_not_exceeded(node: Node) -> None:
    """No question gets more than what is left of the whole."""
    facts(within_s=1.0)
    assert node.calls
    assert all(limit <= 1.0 for limit in node.spans)


@pytest.mark.parametrize(("question", "field"), [("paused", "producer_missing"), ("peers", "net_missing")])
def test_an_api_that_nodeos_does_not_have_is_told(question: str, field: str, node: Node) -> None:
    """404 says that the plugin is missing; another error does not."""
    node.says[question] = NodeosAnswer(404, 0, "unknown endpoint")
    found = facts()
    assert getattr(found, field)
    assert getattr(found, f"{question}_error") == "unknown endpoint"
    assert getattr(found, question) is None
    node.says[question] = NodeosAnswer(500, 0, "it fell over")
    assert not getattr(facts(), field)


@pytest.mark.parametrize(
    "failure", [NodeosUnreachable("nothing listens"), NodeosTimeout("too late"), TimeoutError("over")]
)
def test_a_question_that_fails_leaves_the_others(failure: Exception, node: Node) -> None:
    """Its error is told in its place, and the next question is asked all the same."""
    node.says["info"] = failure
    found = facts()
    assert found.info is None
    assert str(failure) in found.info_error
    assert found.info_error.startswith("not asked: ") is isinstance(failure, TimeoutError)
    assert (found.paused, found.peers) == (True, Peers(3, 2))


def test_nothing_that_listens_leaves_the_process_unknown() -> None:
    """Its error stands with the process and with the options that could not be read."""
    found = facts()
    assert (found.pid, found.bound, found.listening) == (None, None, ())
    assert found.process_error
    assert found.process_error in found.options_error


def test_the_programs_at_the_address_are_seen() -> None:
    """Each with its name and its pid; the process that nodeos is looked for by the same address."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        found = facts(url=f"http://127.0.0.1:{sock.getsockname()[1]}")
    name = Path("/proc/self/comm").read_text().strip()
    assert found.listening == ((name, os.getpid()),)


def test_the_addresses_that_a_process_listens_on_are_seen() -> None:
    """In order, and no socket of another state; none of a process that is not known or is gone.

    One of our own descriptors is closed while they are looked at: the one that lists them.
    """
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [sock.getsockname()[1] for sock in (one, two)]
        with socket.create_connection(one.getsockname()) as near:
            found = gather_nodeos._bound(os.getpid())
            assert found is not None
            assert {f"127.0.0.1:{port}" for port in ports} <= set(found)
            assert list(found) == sorted(found)
            assert f"127.0.0.1:{near.getsockname()[1]}" not in found
    after = gather_nodeos._bound(os.getpid())
    assert after is not None
    assert not {f"127.0.0.1:{port}" for port in ports} & set(after)
    assert gather_nodeos._bound(None) is None
    assert gather_nodeos._bound(2**22 + 1) is None


def test_options_come_from_the_file_and_from_the_command_line(tmp_path: Path) -> None:
    """The file first, then what the process was started with, which counts more; both are named."""
    ini = tmp_path / "config.ini"
    ini.write_text("pause-on-startup = true\nplugin = eosio::net_api_plugin\n")
    with program(["--pause-on-startup=false", "--config-dir", str(tmp_path)]) as pid:
        options, error = gather_nodeos.read_options(config(), pid, "")
    assert error == ""
    assert options.sources == (str(ini), "its command line")
    assert options.values["plugin"] == ("eosio::net_api_plugin",)
    assert not options.on("pause-on-startup")


def test_a_named_file_is_read_without_a_process(tmp_path: Path) -> None:
    """nodeos.config_file is enough; why there is no process is told all the same."""
    ini = tmp_path / "own.ini"
    ini.write_text("pause-on-startup = true\n")
    options, error = gather_nodeos.read_options(config(nodeos={"config_file": str(ini)}), None, "no process")
    assert options.sources == (str(ini),)
    assert options.on("pause-on-startup")
    assert error == "no process"


def test_what_cannot_be_read_is_told_with_its_name(tmp_path: Path) -> None:
    """Of the file its path, of the process its command line; nothing is no source."""
    ini = tmp_path / "own.ini"
    ini.write_text("")
    whole = config(nodeos={"config_file": str(ini)})
    ini.unlink()
    options, error = gather_nodeos.read_options(whole, 2**22 + 1, "")
    assert options.sources == ()
    assert options.values == {}
    assert error == f"its command line: No such file or directory; {ini}: No such file or directory"


def test_the_file_is_looked_for_below_the_home_of_the_process(tmp_path: Path) -> None:
    """HOME and the working directory are those of nodeos, not of the reader; /root where it has no HOME."""
    ini = tmp_path / ".local/share/eosio/nodeos/config/config.ini"
    ini.parent.mkdir(parents=True)
    ini.write_text("enable-stale-production = true\n")
    for environ, expected in (({"HOME": str(tmp_path)}, ini), ({}, Path("/root") / ini.relative_to(tmp_path))):
        with program([], environ, tmp_path) as pid:
            assert gather_nodeos._config_file(pid, []) == expected
            here = gather_nodeos._config_file(pid, ["--config-dir=conf"])
            assert here == tmp_path.resolve() / "conf/config.ini"
    assert gather_nodeos._config_file(2**22 + 1, []) is None


@pytest.mark.parametrize(
    ("answer", "reached"),
    [
        (True, True),
        (NodeosAnswer(400, 0, "bad Host header"), True),
        (NodeosAnswer(404, 0, "unknown endpoint"), False),
        (NodeosUnreachable("nothing listens"), False),
        (TimeoutError("no time"), False),
    ],
)
def test_where_the_producer_api_answers_from_outside_is_told(
    answer: Any, reached: bool, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 400 is about the Host header, which a stranger can send right: only that error is no protection."""
    node.says["paused"] = answer
    monkeypatch.setattr(gather_nodeos, "own_addresses", lambda: ["192.0.2.7", "192.0.2.8"])
    found = gather_nodeos._reached(
        config(nodeos={"url": "http://127.0.0.1:8888", "producer_url": "http://127.0.0.1:8889/"}), Deadline(5)
    )
    assert found == (("192.0.2.7:8889", "192.0.2.8:8889") if reached else ())
    assert node.urls == [("http://192.0.2.7:8889",), ("http://192.0.2.8:8889",)]
    assert all(0 < limit <= 1.0 for limit in node.spans)


def test_a_producer_api_on_a_file_is_reached_from_nowhere(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unix socket has no port, so that no address is tried."""
    monkeypatch.setattr(gather_nodeos, "own_addresses", lambda: ["192.0.2.7"])
    whole = config(nodeos={"url": "http://127.0.0.1:8888", "producer_url": "unix:///run/nodeos:8888"})
    assert gather_nodeos._reached(whole, Deadline(5)) == ()
    assert not node.calls


def test_the_addresses_of_interfaces_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback and an interface without an address are left out."""
    monkeypatch.undo()
    given = {"lo": "127.0.0.1", "eth0": "192.0.2.7", "verylonginterfacename": "192.0.2.8"}

    def ioctl(_number: int, _request: int, packed: bytes) -> bytes:
        name = packed.rstrip(b"\0").decode()
        found = next((each for full, each in given.items() if full[:15] == name), None)
        if found is None:
            raise OSError("no address")
        assert len(packed) == 256
        return packed[:20] + socket.inet_aton(found) + packed[24:]

    names = [*given, "wg0"]
    monkeypatch.setattr(socket, "if_nameindex", lambda: list(enumerate(names)))
    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(gather_nodeos, "IF_INET6", Path("/nowhere"))
    assert gather_nodeos.own_addresses() == ["192.0.2.7", "192.0.2.8"]
