"""What survives a restart, what replaces what, what is sent again, and the sign of life: the desk beyond one notice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.alerts import memory
from agent.alerts.dispatcher import AlertDispatcher, DeadMan
from agent.alerts.memory import FileMemory, Saved
from agent.alerts.worker import Channel
from agent.core.alerts.notice import Notice
from agent.ports import Delivery
from tests.support.alert_channel import OK, PlayedSink
from tests.support.children import wait_until

DOWN = Delivery(ok=False, retry=True, detail="refused the connection")
BEGUN = Notice("no_standby/lab", "no_standby", "warning", "no standby", fields={"node": "bp-a"}, lasts=True, since=7)
ENDED = replace(BEGUN, resolved=True)
NEWS = Notice("failover/lab/7", "failover", "info", "bp-a leads")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[..., AlertDispatcher]]:
    """Make desks over one file, as processes that follow one another; they end with the test."""
    made: list[AlertDispatcher] = []

    def make(sink: PlayedSink, boot_id: str = "boot", **channel: Any) -> AlertDispatcher:
        kept = FileMemory(tmp_path / "alerts" / "lab-bp-a.json", boot_id, 5000)
        fields = {"min_severity": "info", "timeout_s": 30.0, **channel}
        made.append(AlertDispatcher([Channel(sink, **fields)], first_wait_s=0.01, memory=kept))
        return made[-1]

    yield make
    for each in made:
        each.close(0.5)


def content(tmp_path: Path) -> Any:
    """Return what stands in the file."""
    path = tmp_path / "alerts" / "lab-bp-a.json"
    return json.loads(path.read_text()) if path.exists() and path.read_text() else {}


# --- a restart ---


def test_what_is_open_is_known_to_the_next_process(desk: Callable[..., AlertDispatcher], tmp_path: Path) -> None:
    """An agent that was killed with an alert open knows it when it starts again, so it can resolve it."""
    sink = PlayedSink()
    first = desk(sink)
    first.tell(BEGUN)
    wait_until(lambda: first.stats()[0].sent["ok"] == 1)
    wait_until(lambda: content(tmp_path)["owed"] == {"ops": []})
    second = desk(PlayedSink())  # the first one was killed: it closes nothing
    assert second.still_open == (BEGUN,)
    second.tell(ENDED)
    wait_until(lambda: content(tmp_path)["open"] == [])
    assert desk(PlayedSink()).still_open == ()


def test_an_alert_is_in_the_file_before_it_is_sent(desk: Callable[..., AlertDispatcher], tmp_path: Path) -> None:
    """Or an agent killed in between would leave an alert that nobody resolves."""
    sink = PlayedSink()
    sink.gate.clear()
    desk(sink).tell(BEGUN)
    wait_until(lambda: sink.got)
    assert [each["key"] for each in content(tmp_path)["open"]] == [BEGUN.key]
    sink.gate.set()


def test_a_resolve_that_was_not_delivered_is_sent_by_the_next_process(desk: Callable[..., AlertDispatcher]) -> None:
    """The channel is down when the alert ends, and the agent ends too: the end is told by the next one."""
    sink = PlayedSink()
    first = desk(sink)
    first.tell(BEGUN)
    wait_until(lambda: first.stats()[0].sent["ok"] == 1)
    sink.answer = DOWN
    first.tell(ENDED)
    wait_until(lambda: first.stats()[0].sent["failed"] > 1)
    first.close(0.2)
    later = PlayedSink()
    second = desk(later)
    wait_until(lambda: later.got == ["-no_standby"])
    assert second.still_open == ()


def test_a_resolve_under_way_when_the_agent_is_killed_is_not_lost(desk: Callable[..., AlertDispatcher]) -> None:
    """Whether it arrived is not known, so it is sent once more: better told twice than never."""
    sink = PlayedSink()
    first = desk(sink)
    first.tell(BEGUN)
    wait_until(lambda: first.stats()[0].sent["ok"] == 1)
    sink.gate.clear()
    first.tell(ENDED)
    wait_until(lambda: sink.got == ["no_standby", "-no_standby"])
    later = PlayedSink()
    desk(later)  # the first one is gone with the call still under way
    wait_until(lambda: later.got == ["-no_standby"])
    sink.gate.set()


def test_times_of_an_earlier_boot_count_from_now(desk: Callable[..., AlertDispatcher]) -> None:
    """CLOCK_BOOTTIME begins anew with each boot; an old time could lie in the future."""
    first = desk(PlayedSink())
    first.tell(BEGUN)
    first.close(1)
    assert desk(PlayedSink(), boot_id="next").still_open == (replace(BEGUN, since=5000),)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"boot_id":"boot","open":[{"key":"x"}]}', '{"boot_id":"boot","open":7}', "\ud800"]
)
def test_a_file_that_cannot_be_read_is_as_none(desk: Callable[..., AlertDispatcher], tmp_path: Path, text: str) -> None:
    """Rubbish in the file costs the memory of what was open, never the start."""
    path = tmp_path / "alerts" / "lab-bp-a.json"
    path.parent.mkdir()
    path.write_bytes(text.encode(errors="surrogatepass"))
    assert desk(PlayedSink()).still_open == ()


def test_a_directory_that_cannot_be_written_costs_no_alert(
    desk: Callable[..., AlertDispatcher], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The alert goes out all the same; that it cannot be kept is said once."""
    (tmp_path / "alerts").write_text("a file where the directory should be")
    sink = PlayedSink()
    made = desk(sink)
    made.tell(BEGUN)
    made.tell(NEWS)
    wait_until(lambda: made.stats()[0].sent["ok"] == 2)
    assert len([line for line in caplog.messages if "cannot be kept over a restart" in line]) == 1


def test_a_disk_that_hangs_holds_a_channel_up_for_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Telling stays instant, and the alert goes out when patience is over."""
    monkeypatch.setattr(memory, "PATIENCE_S", 0.2)

    class Hanging(FileMemory):
        def _write(self, what: Saved) -> None:
            time.sleep(3)

    sink = PlayedSink()
    made = AlertDispatcher([Channel(sink, "info")], memory=Hanging(Path("/nonexistent/x"), "boot", 0))
    begin = time.monotonic()
    made.tell(BEGUN)
    assert time.monotonic() - begin < 1.5
    wait_until(lambda: sink.got == ["no_standby"], 2)
    made.close(0.1)


def test_the_file_is_bounded(tmp_path: Path) -> None:
    """However many alerts and however long their texts, the file has a bound, and can be read again."""
    path = tmp_path / "alerts" / "x.json"
    kept = FileMemory(path, "boot", 0)
    many = tuple(
        replace(BEGUN, key=str(number), summary="\u2028" * 5000, fields={str(each): "y" * 5000 for each in range(50)})
        for number in range(300)
    )
    kept.begin(lambda: Saved(many, {"ops": many}))
    kept.wait(kept.touch())
    kept.close(5)
    assert path.stat().st_size < memory.MAX_BYTES
    assert len(FileMemory(path, "boot", 0).load().still_open) == memory.MOST


# --- what replaces what ---


def test_a_newer_word_replaces_the_one_that_waits(desk: Callable[..., AlertDispatcher]) -> None:
    """While a channel is down an alert begins and ends again and again: it is told the last word only."""
    sink = PlayedSink()
    sink.gate.clear()
    made = desk(sink)
    made.tell(NEWS)
    wait_until(lambda: sink.got == ["failover"])
    for notice in (BEGUN, ENDED, BEGUN, ENDED):
        made.tell(notice)
    assert made.stats()[0].queued == 1
    sink.gate.set()
    wait_until(lambda: sink.got == ["failover", "-no_standby"])
    assert sum(made.stats()[0].dropped.values()) == 0


def test_the_end_of_an_alert_is_the_last_to_go_when_there_is_no_room(desk: Callable[..., AlertDispatcher]) -> None:
    """A resolve is kept while anything else can go, whatever its severity."""
    sink = PlayedSink()
    sink.gate.clear()
    made = AlertDispatcher([Channel(sink, "info", timeout_s=30)], capacity=2, first_wait_s=0.01)
    made.tell(NEWS)
    wait_until(lambda: sink.got == ["failover"])
    made.tell(replace(NEWS, key="ended", event="ended", resolved=True))
    for number in range(5):
        made.tell(replace(BEGUN, key=str(number), event=str(number), severity="critical"))
    sink.gate.set()
    wait_until(lambda: len(sink.got) == 3)
    assert sorted(sink.got[1:]) == ["-ended", "4"]
    made.close(1)


def test_the_end_of_an_alert_is_never_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """A beginning that nobody took in time is given up; the end stays until it is delivered."""
    monkeypatch.setattr("agent.alerts.worker.GIVE_UP_S", {"info": 0.05, "warning": 0.05, "critical": 0.05})
    sink = PlayedSink(DOWN)
    made = AlertDispatcher([Channel(sink, "info")], first_wait_s=0.02)
    made.tell(BEGUN)
    wait_until(lambda: made.stats()[0].dropped["expired"] == 1)
    made.tell(ENDED)
    tried = made.stats()[0].sent["failed"]
    wait_until(lambda: made.stats()[0].sent["failed"] > tried + 3)
    sink.answer = OK
    wait_until(lambda: made.stats()[0].sent["ok"] == 1)
    assert sink.got[-1] == "-no_standby"
    made.close(1)


def test_something_worse_goes_first_when_a_channel_is_back(desk: Callable[..., AlertDispatcher]) -> None:
    """What came meanwhile and is worse does not wait behind what failed."""
    sink = PlayedSink(DOWN)
    made = AlertDispatcher([Channel(sink, "info")], first_wait_s=0.3)
    made.tell(NEWS)
    wait_until(lambda: sink.got)
    made.tell(replace(BEGUN, severity="critical"))
    sink.answer = OK
    wait_until(lambda: made.stats()[0].sent["ok"] == 2)
    assert sink.got[-2:] == ["no_standby", "failover"]
    made.close(1)


# --- sent again while open ---


def test_what_is_open_is_sent_again_until_it_is_over(desk: Callable[..., AlertDispatcher]) -> None:
    """Alertmanager forgets what it is not told again; also what an earlier process opened goes on."""
    first = desk(PlayedSink())
    first.tell(BEGUN)
    first.tell(NEWS)
    first.close(1)
    sink = PlayedSink()
    second = desk(sink, resend_s=0.05)
    wait_until(lambda: sink.got.count("no_standby") >= 3)
    second.tell(ENDED)
    wait_until(lambda: "-no_standby" in sink.got)
    count = len(sink.got)
    time.sleep(0.3)  # what must not happen is given the time in which it would, six times
    assert sink.got[-1] == "-no_standby"
    assert len(sink.got) == count
    assert "failover" not in sink.got


# --- the sign of life ---


def test_a_pulse_goes_out_while_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    """It stays out while something is wrong, and says so once; then it goes out again."""
    why = [""]
    pings: list[float] = []

    def ping(timeout_s: float) -> Delivery:
        pings.append(timeout_s)
        return OK

    dispatcher = AlertDispatcher(())
    dispatcher.beat([DeadMan("dms", ping, 0.02, 1.5, lambda: why[0])])
    wait_until(lambda: len(pings) >= 3)
    why[0] = "open: no_leader/lab"
    wait_until(lambda: dispatcher.stats()[0].sent["withheld"] >= 3)
    count = len(pings)
    wait_until(lambda: dispatcher.stats()[0].sent["withheld"] >= 6)
    assert len(pings) == count
    why[0] = ""
    wait_until(lambda: len(pings) > count)
    assert set(pings) == {1.5}
    dispatcher.close(1)
    assert caplog.messages == ["no ping goes to dms: open: no_leader/lab", "pings to dms go out again"]
