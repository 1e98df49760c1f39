"""What the gate says of itself: refusals are counted and told now and then, and systemd hears signs of life in time."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.config.gate import read_gate
from agent.errors import ConfigError
from agent.gate import main as gate_main
from agent.gate.main import ALIVE_S, LINES, SAY_AGAIN_S, STATUS_S, Reporter
from agent.gate.server import Server
from agent.host.clock import boot_id
from agent.host.page import identity
from agent.host.page_file import PageFile
from agent.host.stderr import Voice
from agent.host.systemd import Notifier
from tests.lab.nodeos import PUBLIC_KEY
from tests.lab.ports import Ports
from tests.support.moved_time import MovedTime
from tests.support.recorder import Recorder


class Bench:
    """A herald whose words are recorded."""

    def __init__(self) -> None:
        self.voice, self.notifier = Recorder(), Recorder()
        voice: Any = self.voice
        notifier: Any = self.notifier
        self.herald = Reporter(voice, notifier)
        self.server: Any = SimpleNamespace(
            counts=SimpleNamespace(signed=7, refused={"closed": 2, "gone": 3}), wallet=SimpleNamespace(state="ready")
        )

    def said(self) -> list[str]:
        """Flush, and return what was said since the last time."""
        before = len(self.voice.calls)
        self.herald.flush(self.server)
        return [arguments[0] for _, arguments in self.voice.calls[before:]]

    def told(self, word: str) -> list[str]:
        """Return what systemd was told."""
        return [line for _, lines in self.notifier.calls for line in lines if line.startswith(word)]


@pytest.fixture
def bench(moved: MovedTime) -> Bench:
    """Return a herald in time that is moved."""
    return Bench()


def test_a_storm_of_refusals_is_a_line_in_five_seconds(bench: Bench, moved: MovedTime) -> None:
    """Ten requests a second for a minute are a dozen lines, and each says how many it stands for."""
    lines: list[str] = []
    for _ in range(600):
        bench.herald.refused("closed", "")
        lines += bench.said()
        moved.go(100)
    assert 11 <= len(lines) <= 1 + 60 / SAY_AGAIN_S
    assert lines[0] == "refused 1 x closed"
    assert set(lines[1:]) == {"refused 50 x closed"}


def test_reasons_are_told_apart(bench: Bench) -> None:
    """One that storms does not hide another one, which is told with its words."""
    bench.herald.refused("closed", "")
    bench.herald.refused("closed", "")
    bench.herald.refused("other_user", "user 7 asks")
    assert bench.said() == ["refused 1 x closed; refused 1 x other_user: user 7 asks"]
    assert bench.said() == []


def test_lines_that_wait_are_bounded(bench: Bench) -> None:
    """Many reasons at once are a bounded line; the rest is told later, with its count."""
    for number in range(LINES + 5):
        bench.herald.refused(f"reason{number}", "")
    (line,) = bench.said()
    assert line.count("refused") == LINES
    for _ in range(3):
        bench.herald.refused(f"reason{LINES}", "")
    assert bench.said() == [f"refused 2 x reason{LINES}"]


def test_systemd_hears_signs_of_life_and_a_state(bench: Bench, moved: MovedTime) -> None:
    """Two signs a second, and a line of state in five seconds, however often the loop turns."""
    for _ in range(1000):
        bench.said()
        moved.go(10)
    assert len(bench.told("WATCHDOG")) == pytest.approx(10 / ALIVE_S, abs=1)
    assert len(bench.told("STATUS")) == pytest.approx(10 / STATUS_S, abs=1)
    assert bench.told("STATUS")[0] == "STATUS=7 signed, 5 refused; keosd: ready"


@pytest.mark.usefixtures("no_leaks")
def test_a_gate_runs_until_it_is_told_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the page of its node, tells systemd that it is ready and that it stops, and leaves its places free."""
    handlers: dict[int, Any] = {}
    sent: list[str] = []
    said: list[str] = []
    turn, held = Server.turn, list[tuple[int, int] | None]()
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(Notifier, "send", lambda _self, *lines: sent.extend(lines))
    monkeypatch.setattr(Voice, "say", lambda _self, text: said.append(text))

    def turned(server: Server) -> None:
        turn(server)
        held.append(server._permit.file)
        if len(held) == 2:
            handlers[signal.SIGTERM](signal.SIGTERM, None)

    monkeypatch.setattr(Server, "turn", turned)
    with tempfile.TemporaryDirectory(prefix="nf-gate-") as name:
        root = Path(name)
        page = PageFile(root / "eos-bp-a.permit", boot_id(), identity("eos", "bp-a"))
        config, ports = root / "c.toml", Ports()
        port = ports.take()
        config.write_text(
            f'group = "eos"\nnode = "bp-a"\nruntime.dir = "{root}"\n[gate]\nmode = "on"\npublic_key = "{PUBLIC_KEY}"\n'
            f'keosd = "http://127.0.0.1:1"\nlisten = "http://127.0.0.1:{port}"\ncontrol = "{root}/control"\n'
        )
        assert gate_main.main(["--config", str(config)], read_gate) == 0
        assert held[-1] == page.file
        assert not (root / "control").exists()
        page.close()
        ports.close()
    assert sent[0] == "READY=1"
    assert sent[-1] == "STOPPING=1"
    assert "WATCHDOG=1" in sent
    assert said[0].startswith(f"listening on http://127.0.0.1:{port}")
    assert {signal.SIGTERM, signal.SIGINT} <= set(handlers)
    assert handlers[signal.SIGHUP] is signal.SIG_IGN, "it has nothing to read again"


def test_settings_that_cannot_be_used_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each problem, and the exit code of a configuration that cannot be used; other words are usage."""
    (tmp_path / "c.toml").write_text('group = "eos"\nnode = "bp-a"\n')
    assert gate_main.main(["--config", str(tmp_path / "c.toml")], read_gate) == ConfigError.exit_code
    told = capsys.readouterr().err
    assert "Error: gate.mode is off" in told
    assert "Error: gate.public_key is missing" in told
    assert gate_main.main(["--help"], read_gate) == 0
    assert "usage:" in capsys.readouterr().out
    assert gate_main.main(["--what"], read_gate) == 2
    assert "usage:" in capsys.readouterr().err
