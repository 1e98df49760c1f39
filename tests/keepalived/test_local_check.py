"""`check --local`: what it asks of nodeos, what this host reaches, and what it says in one line."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.host.clock import boot_ms
from agent.host.deadline import Deadline
from agent.host.paths import save_plan
from agent.keepalived.local_check import SIGN_MS, LocalLimits, Reach, address, look, main, with_reach, with_sign
from agent.net.endpoint import parse_endpoint
from tests.support.moved_time import MovedTime
from tests.support.slow_server import Server, request

WALL = 1_800_000_000.0
HEAD = datetime.fromtimestamp(WALL - 2, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
GOOD: dict[str, Any] = {
    "/v1/producer/paused": True,
    "/v1/chain/get_info": {"head_block_num": 7, "head_block_time": HEAD},
    "/v1/net/connections": [{"last_handshake": {"network_version": 1207}}, {"last_handshake": {"network_version": 0}}],
}
SILENT = object()


class Nodeos:
    """A nodeos that answers what it is told to; SILENT: it takes the request and says nothing."""

    def __init__(self) -> None:
        self.answers = dict(GOOD)
        self.server = Server(self._talk)
        self.url = f"http://127.0.0.1:{self.server.port}"

    def _talk(self, client: socket.socket) -> None:
        path = request(client)[0].split()[1].decode()
        answer = self.answers.get(path)
        if answer is SILENT:
            self.server.over.wait(20)
            return
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


@pytest.fixture
def nodeos() -> Iterator[Nodeos]:
    """Yield a nodeos that is well."""
    nodeos = Nodeos()
    yield nodeos
    nodeos.server.close()


def test_all_well(nodeos: Nodeos) -> None:
    """A live main thread, a young head and a peer with a finished handshake are OK, with figures for a graph."""
    verdict = look(parse_endpoint(nodeos.url), LocalLimits(timeout_s=5), WALL)
    assert verdict.line == (
        "NODEOS-FAILOVER OK - head 7, 2.0 s old, 1 peers, paused | head=7 head_age=2.000s peers=1 paused=1"
    )


@pytest.mark.parametrize(
    ("path", "answer", "word"),
    [
        ("/v1/producer/paused", SILENT, "does not answer"),
        ("/v1/producer/paused", b"<html>", "something else"),
        ("/v1/chain/get_info", {}, "something else"),
        ("/v1/chain/get_info", {"head_block_num": 7, "head_block_time": "2000-01-01T00:00:00"}, "too old"),
        ("/v1/net/connections", [], "too few peers"),
        ("/v1/net/connections", [{}], "something else"),
    ],
)
def test_what_is_critical(nodeos: Nodeos, path: str, answer: Any, word: str) -> None:
    """A hung main thread, a stale head, no peers, and whatever is no nodeos: CRITICAL, in time."""
    nodeos.answers[path] = answer
    begin = time.monotonic()
    verdict = look(parse_endpoint(nodeos.url), LocalLimits(timeout_s=1), WALL)
    assert verdict.code == 2
    assert word in verdict.line
    assert time.monotonic() - begin < 3


def test_limits_can_be_taken_back(nodeos: Nodeos) -> None:
    """A chain of one producer stands still while nobody produces: with 0 the head may be of any age."""
    assert look(parse_endpoint(nodeos.url), LocalLimits(0, 0, 5), WALL + 10_000).code == 0


def test_as_a_process_it_leaves_a_stamp(nodeos: Nodeos, tmp_path: Path) -> None:
    """With --stamp it notes when it was started, not when it was done; only then. Exit codes are those of Nagios."""
    config = tmp_path / "agent.toml"
    config.write_text('group = "g"\nnode = "n"\n')
    run = tmp_path / "run"
    run.mkdir()
    plan = {"url": nodeos.url, "pid_file": "", "unit": "", "command": [], "enabled": True}
    guard = {"plan": plan, "producer_url": nodeos.url, "pause_ms": 300, "block_ms": 500, "kill_ms": 500}
    save_plan(run / "g-n.json", {"guard": guard})
    command = [sys.executable, "-m", "agent", "check", "--local", "--config", str(config), "--max-head-age", "0"]
    environ = {"PATH": os.environ["PATH"], "RUNTIME_DIRECTORY": str(run)}

    def check(*more: str) -> subprocess.CompletedProcess[str]:
        words = [*command, "--timeout", "10", *more]
        return subprocess.run(words, env=environ, capture_output=True, text=True, check=False, timeout=60)

    done = check()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("NODEOS-FAILOVER OK - ")
    assert not (run / "g-n.stamp").exists()
    begin = boot_ms()
    nodeos.answers["/v1/net/connections"] = []
    assert check("--stamp").returncode == 2, "a sick nodeos is no reason to think that keepalived is dead"
    assert begin - 50 <= int((run / "g-n.stamp").read_text()) <= boot_ms()
    nodeos.answers = dict(GOOD)
    done = check("--stamp")
    assert (done.returncode, "keepalived-notify gives no sign of life" in done.stdout) == (2, True), done.stdout
    (run / "g-n.alive").write_text(f"{boot_ms()}\n")
    assert check("--stamp").returncode == 0
    config.unlink()
    (run / "g-n.plan").unlink()
    done = check()
    assert (done.returncode, done.stdout[:25]) == (3, "NODEOS-FAILOVER UNKNOWN -")


@pytest.mark.parametrize(
    ("age", "paused", "code"),
    [(0, True, 0), (SIGN_MS // 2, True, 0), (SIGN_MS, True, 2), (-60_000, True, 2), (None, True, 2), (None, False, 0)],
)
def test_notifier_that_does_not_go_round_is_a_fault_once_nodeos_is_paused(
    nodeos: Nodeos, tmp_path: Path, age: int | None, paused: bool, code: int
) -> None:
    """P1, P2: without a notifier only the other host can produce, and may once nodeos was seen to be paused (R4)."""
    nodeos.answers["/v1/producer/paused"] = paused
    alive = tmp_path / "alive"
    if age is not None:
        alive.write_text(f"{boot_ms() - age}\n")
    verdict = look(parse_endpoint(nodeos.url), LocalLimits(timeout_s=5), WALL)
    assert with_sign(verdict, alive).code == code


def test_what_cannot_be_found_out_is_told_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for keepalived's log, and the code of UNKNOWN."""
    gone = tmp_path / "gone.toml"
    assert main(["--local", "--config", str(gone)], {}) == 3
    out = capsys.readouterr().out
    assert out.startswith("NODEOS-FAILOVER UNKNOWN - ")
    assert str(gone) in out
    assert out.count("\n") == 1


def listener() -> socket.socket:
    """Return a socket that accepts connections, as the kernel does for whoever listens."""
    return socket.create_server(("127.0.0.1", 0))


def test_an_isolated_host_is_critical(nodeos: Nodeos) -> None:
    """Of the addresses to reach more than half must accept; refusals and silence do not count, and cost no time."""
    with listener() as one, listener() as two, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        well, refused = [each.getsockname() for each in (one, two)], closed.getsockname()
        for wanted, code in (([*well, refused], 0), ([well[0], refused], 2), ([well[0], refused, refused], 2)):
            begin = time.monotonic()
            verdict = look(parse_endpoint(nodeos.url), LocalLimits(timeout_s=20), WALL)
            verdict = with_reach(verdict, Reach(wanted), Deadline(20))
            assert verdict.code == code, verdict.line
            assert f"reached={2 if code == 0 else 1}" in verdict.line
            assert time.monotonic() - begin < 10


def test_silence_ends_at_the_deadline() -> None:
    """Addresses that swallow packets are waited for until the deadline, which nodeos may have used up: not longer."""
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    address = full.getsockname()
    filler = [socket.socket() for _ in range(4)]
    for each in filler:
        each.setblocking(False)
        each.connect_ex(address)  # a full queue: further connects hang, as with a host that is gone
    begin = time.monotonic()
    assert Reach([address]).count(Deadline(0.3)) == 0
    assert 0.25 < time.monotonic() - begin < 5
    for each in (full, *filler):
        each.close()


@pytest.mark.parametrize("text", ["10.0.0.1", "10.0.0.1:0", "dns.example:53", "fe80::1:53", "[10.0.0.1]:53", ":53"])
def test_addresses_are_literal(text: str) -> None:
    """A name is refused, for an isolated host would wait for its resolver; so is whatever is no address and port."""
    with pytest.raises(argparse.ArgumentTypeError, match="IP:PORT"):
        address(text)
    assert address("[::1]:53") == ("::1", 53)
    assert address("10.0.0.1:53") == ("10.0.0.1", 53)


pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def there() -> Iterator[tuple[str, int]]:
    """Yield an address that accepts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[:2]


@pytest.fixture
def refuses() -> tuple[str, int]:
    """Return an address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        found: tuple[str, int] = server.getsockname()[:2]
    return found


def test_more_than_half_must_be_reached(there: tuple[str, int], refuses: tuple[str, int]) -> None:
    """Of none, none; of two, two; of three, two: half is what both sides of a cut may have."""
    for number, enough in enumerate((0, 1, 2, 2, 3, 3)):
        reach = Reach([there] * number)
        assert reach.enough == enough
        assert reach.count(Deadline(10.0)) >= enough
    assert Reach([there, refuses]).count(Deadline(10.0)) == 1
    assert Reach([refuses, refuses]).count(Deadline(10.0)) == 0


def test_a_refusal_is_not_waited_for(refuses: tuple[str, int], moved: MovedTime) -> None:
    """What has answered counts at once, also with no time left; a connection that stands counts then, too."""
    assert Reach([refuses]).count(Deadline(0.0)) == 0
    assert moved.passed_s == 0


def test_an_address_is_ip_and_port() -> None:
    """No names, and a port that exists."""
    assert address("127.0.0.1:80") == ("127.0.0.1", 80)
    assert address("[::1]:65535") == ("::1", 65535)
    for wrong in ("localhost:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "::1:80", "[127.0.0.1]:80", "a:b"):
        with pytest.raises(argparse.ArgumentTypeError, match="no names"):
            address(wrong)
