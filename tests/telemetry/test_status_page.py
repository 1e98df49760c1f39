"""The status page in a real Chromium: what it shows, that it fits a phone, that nothing from etcd becomes markup."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.telemetry.http_server import HttpServer
from tests.support.browser import Browser, find_browser
from tests.support.pages import FakePages, serving

HOSTILE = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>\'"&lt;\u202egnp'
LONG = "the chain stands still " * 20
pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]


def member(node: str, **other: Any) -> dict[str, Any]:
    """Return a member as /status has it."""
    return {
        "node": node,
        "role": "standby",
        "healthy": True,
        "reasons": [],
        "head": 384_112_907,
        "head_age_ms": 312,
        "lib": 384_112_903,
        "priority": 100,
        "drained": False,
        "version": "0.1.0",
        "nodeos": "v1.2.2",
        "plan": "",
        **other,
    }


def status(**other: Any) -> dict[str, Any]:
    """Return what /status says of a group that is well."""
    now = time.time_ns() // 1_000_000
    begun = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(now / 1000 - 7815))
    change = {"kind": "change", "when": begun, "epoch": 41, "node": "bp-a", "from": "bp-b"}
    return {
        "version": "0.1.0",
        "group": "eos-mainnet",
        "producer": "myproducer11",
        "node": "bp-b",
        "leads": False,
        "etcd_up": True,
        "heartbeat": {"epoch": 41, "node": "bp-a", "released": False, "validity_ms": 6000, "reason": ""},
        "held": True,
        "lead_left_s": 5.7,
        "margin_s": 1.1,
        "leader_since": begun,
        "override": None,
        "maintenance": None,
        "problems": [],
        "alerts": [],
        "members": [member("bp-b"), member("bp-a", role="leading", priority=10)],
        "history": [
            {
                **change,
                "epoch": 40,
                "node": "bp-b",
                "from": "bp-a",
                "reason": "a switchover was asked for",
                "slots_missed": 0,
            },
            {"kind": "word", "when": begun, "by": "joe@ops", "did": "switchover to bp-a", "reason": "kernel update"},
            {**change, "reason": "the nodeos process is gone: pid 4711", "leaderless_ms": 412, "slots_missed": 1},
        ],
        "step_age_s": 0.1,
        "view_age_s": 0.3,
        "wall_ms": now,
        **other,
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One Chromium for all tests of this file."""
    made = Browser(find_browser(), tmp_path_factory.mktemp("chromium"))
    yield made
    made.close()


@pytest.fixture
def pages() -> FakePages:
    """Pages of a group that is well."""
    return FakePages(data=status())


@pytest.fixture
def url(pages: FakePages) -> Iterator[str]:
    """Serve them as an agent does."""
    with serving(pages) as port:
        yield f"http://127.0.0.1:{port}/"


TEXT = "document.body.innerText"
TROUBLED = {
    "held": False,
    "heartbeat": {"epoch": 41, "node": "bp-a", "released": True, "validity_ms": 6000, "reason": "peers: none"},
    "lead_left_s": None,
    "override": {"leader": None, "reason": "hard fork at noon", "by": "joe@ops"},
    "maintenance": "new disks",
    "etcd_up": False,
    "problems": ["/nodeos-failover/eos-mainnet/members/bp-z: not JSON"],
    "alerts": [
        {"key": "no_leader/eos-mainnet", "severity": "critical", "summary": "nobody produces for myproducer11"},
        {"key": "etcd_down/eos-mainnet/bp-b", "severity": "warning", "summary": "bp-b has no answer from etcd"},
    ],
    "members": [
        member("bp-a", healthy=False, reasons=["peers: none is connected, 1 is needed", f"head_age: {LONG}"]),
        member("bp-b", drained=True, head=384_112_001, plan="goes on after bp-a has released"),
        member("bp-" + "c" * 59, version="", nodeos=""),
    ],
}


def test_it_shows_who_leads_and_how_everybody_is(browser: Browser, url: str) -> None:
    """Leader, since when, validity, members and history stand there, without a complaint of the browser."""
    browser.said.clear()
    browser.open(url, 1100, 900)
    browser.wait("document.querySelectorAll('.card').length === 2")
    text = browser.value(TEXT)
    for part in (
        "bp-a leads",
        "for 2 h 10 min",
        "epoch 41",
        "validity left 5.7 s of 6 s; it stops at 1.1 s (as seen from here)",
        "eos-mainnet · myproducer11",
        "1 slot missed in the last 2 changes",
        "bp-b → bp-a (epoch 41)",
        "nobody led for 0.4 s",
        "joe@ops: switchover to bp-a",
        "just now",
    ):
        assert part in text, (part, text)
    assert browser.value("document.title") == "bp-a leads · eos-mainnet"
    assert browser.value("document.getElementById('banners').children.length") == 0
    assert browser.value(
        "document.getElementById('fill').offsetWidth / document.getElementById('bar').offsetWidth > .9"
    )
    assert [line for line in browser.said if "favicon" not in line] == []


def test_it_refreshes_by_itself_and_tells_trouble(browser: Browser, url: str, pages: FakePages) -> None:
    """Without a reload it shows what changed: nobody leads, the words of operators, what is wrong."""
    browser.open(url, 1100, 900)
    browser.wait(f"{TEXT}.includes('bp-a leads')")
    pages.data = status(**TROUBLED)
    browser.wait(f"{TEXT}.includes('Nobody leads')")
    text = browser.value(TEXT)
    for part in (
        "Override: Nobody may produce",
        "hard fork at noon, by joe@ops",
        "new disks",
        "etcd does not answer this agent",
        "members/bp-z: not JSON",
        "nobody produces for myproducer11",
        "peers: none is connected, 1 is needed",
        "drained",
        "(906 behind)",
    ):
        assert part in text, (part, text)
    assert browser.value("document.getElementById('bar').offsetHeight") == 0


def test_it_says_when_its_data_is_old(browser: Browser, pages: FakePages) -> None:
    """An agent that answers no more leaves the last data, marked as old with its age; when it is back, it is fresh."""
    server = HttpServer(("127.0.0.1", 0), pages)
    server.start()
    address = server.address
    browser.open(f"http://127.0.0.1:{address[1]}/", 1100, 900)
    browser.wait(f"{TEXT}.includes('just now')")
    server.close()
    browser.wait(f"{TEXT}.includes('the data is') && {TEXT}.includes('the agent does not answer')")
    assert browser.value("document.body.classList.contains('stale')")
    assert "bp-a leads" in browser.value(TEXT)
    again = HttpServer(address, pages)
    again.start()
    try:
        browser.wait(f"{TEXT}.includes('just now')")
        assert not browser.value("document.body.classList.contains('stale')")
    finally:
        again.close()


def test_an_agent_that_stands_still_shows(browser: Browser, url: str, pages: FakePages) -> None:
    """The endpoint answers though the loop hangs: the page says so, and that the group was not seen lately."""
    pages.data = status(step_age_s=42.0, view_age_s=43.0)
    browser.open(url, 1100, 900)
    browser.wait(f"{TEXT}.includes('Its last step was 42 s ago')")
    assert "The group was last seen 43 s ago" in browser.value(TEXT)


def _everywhere(value: Any) -> Any:
    """Put hostile text in place of every text."""
    if isinstance(value, dict):
        return {key: "change" if key == "kind" else _everywhere(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_everywhere(each) for each in value]
    return HOSTILE if isinstance(value, str) else value


@pytest.mark.parametrize("data", [{}, TROUBLED])
def test_nothing_from_etcd_becomes_markup(browser: Browser, url: str, pages: FakePages, data: dict[str, Any]) -> None:
    """Names, reasons, versions and words full of markup are shown as the text that they are."""
    clean = browser.value
    pages.data = _everywhere(status(**data))
    browser.open(url, 1100, 900)
    browser.wait("document.querySelectorAll('.card').length > 1")
    browser.wait(f"{TEXT}.includes('<img src=x')")
    assert clean("window.hit === undefined")
    assert clean("document.querySelectorAll('img').length") == 0
    assert clean("document.scripts.length") == 1


def test_its_policy_lets_no_other_script_run(browser: Browser, url: str) -> None:
    """Should markup get in all the same, the policy stops it: no inline handler, no script, no foreign address."""
    browser.open(url, 1100, 900)
    browser.wait(f"{TEXT}.includes('bp-a leads')")
    for attempt in (
        "insertAdjacentHTML('beforeend', '<i id=evil onclick=\"window.hit=1\"></i>')",
        "insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hit=1\">')",
        "append(Object.assign(document.createElement('script'), {textContent: 'window.hit=1'}))",
    ):
        browser.value(f"document.body.{attempt}; 0")
    browser.value("document.getElementById('evil').click()")
    browser.value("fetch('http://127.0.0.2:1/').catch(() => { window.refused = 1 }); 0")
    browser.wait("window.refused === 1")
    assert browser.value("window.hit === undefined")
    assert any("Content Security Policy" in line for line in browser.said)


@pytest.mark.parametrize("trouble", [False, True], ids=["well", "trouble"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1100, 360])
def test_it_fits_the_screen_in_light_and_dark(
    browser: Browser, url: str, pages: FakePages, width: int, dark: bool, trouble: bool
) -> None:
    """Nothing sticks out at the width of a desk or a phone; the ground follows the colour scheme; text can be read."""
    pages.data = status(**TROUBLED) if trouble else status()
    browser.open(url, width, 800, dark=dark)
    browser.wait("document.querySelectorAll('.card').length > 1")
    assert browser.value("document.documentElement.scrollWidth") <= width
    ground = browser.value("getComputedStyle(document.body).backgroundColor")
    red = int(ground.split("(")[1].split(",")[0])
    assert (red < 64) is dark
    assert browser.value(CONTRAST) >= 4.5, "WCAG AA for normal text"
    if pictures := os.environ.get("PICTURES"):
        name = f"{width}-{'dark' if dark else 'light'}-{'trouble' if trouble else 'well'}.png"
        browser.picture(Path(pictures) / name)


CONTRAST = """(() => {
  const rgb = (c) => c.match(/[\\d.]+/g).map(Number);
  const part = (v) => ((v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  let least = 99;
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.offsetParent) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    least = Math.min(least, (a + .05) / (b + .05));
  }
  return least;
})()"""
"""The least contrast between a text and what is behind it, as WCAG 2 counts it."""
