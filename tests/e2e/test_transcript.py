"""The transcript in deploy/ADOPTING.md, typed in its order on real etcd and nodeos: what it shows is what comes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tests.lab import evidence
from tests.lab.agents import to_toml
from tests.lab.lab import Lab
from tests.lab.wait import until

pytestmark = pytest.mark.real
PAGE = (Path(__file__).parents[2] / "deploy" / "ADOPTING.md").read_text()
URL, ETCD, HTTP = "http://127.0.0.1:8888", "http://127.0.0.1:2379", "http://127.0.0.1:9877"
INI, CONFIG = "/etc/nodeos/config.ini", "/etc/nodeos-failover/config.toml"
"""What the page says, which is elsewhere in the laboratory."""
LIMIT = 40.0
"""Seconds until what is looked at is as the page has it."""
LOOKS = (*(f"nodeos-failover {each}" for each in ("status", "history", "doctor", "check")), "curl -s http:")
"""Commands that change nothing: they are given again until they show what the page does."""


def commands() -> list[tuple[str, str, list[str]]]:
    """Return the host, the command and the lines of its output, one after the other."""
    (block,) = re.findall(r"(?s)```console\n(.*?)```", PAGE)
    parts = re.split(r"(?m)^(bp-[ab])# (.*)\n", block)[1:]
    return [
        (host, line, shown.splitlines()) for host, line, shown in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    ]


DOTS = r"(\s+.*)?"


def pattern(line: str) -> str:
    """Return what a line of the page stands for: any number, any width of a column, and anything for an ellipsis."""
    found, words = "", line.split()
    for word in words:
        text = re.sub(r"(\\-)?\d+", r"-?\\d+", re.escape(word)).replace("…", ".*")
        found += DOTS if word == "…" else rf"\s+{text}"
    return r"\s*" + (found.removeprefix(r"\s+") if words[0] != "…" else f".*{found.removeprefix(DOTS)}") + r"\s*"


def as_shown(shown: list[str], came: str) -> str:
    """Return the first line of the page that did not come, empty if all did: in its order, and next to the one before.

    A line with nothing but an ellipsis stands for any lines, none among them.
    """
    lines, free = came.splitlines(), False
    for each in shown:
        if each.strip() == "…":
            free = True
            continue
        places = [place for place, line in enumerate(lines) if re.fullmatch(pattern(each), line)]
        if not places or (not free and places[0] != 0):
            return each
        lines, free = lines[places[0] + 1 :], False
    return "" if free or not any(lines) else "(no more)"


class Hosts:
    """Two hosts with nodeos and agent, as the page names them and their files."""

    def __init__(self, lab: Lab, root: Path) -> None:
        self.chain = lab.chain(2)
        etcd = lab.etcd(1)
        self.agents = {name: lab.agent(node, etcd) for name, node in self.chain.nodes.items()}
        self._ours, self._theirs = {}, {}
        (ini,) = re.findall(r"(?s)```ini\n(.*?)```", PAGE)
        for name, agent in self.agents.items():
            settings = tomllib.loads(agent.config.read_text())
            self._ours[name] = to_toml({key: settings[key] for key in ("http", "runtime", "health", "fence", "log")})
            agent.config.unlink()
            file, url = root / name / "config.ini", self.chain.nodes[name].http_url
            self._theirs[name] = {
                "127.0.0.1:9877": f"127.0.0.1:{agent.http_port}",
                URL: url,
                ETCD: etcd.urls[0],
                INI: str(file),
                CONFIG: str(agent.config),
            }
            file.parent.mkdir()
            file.write_text(ini.replace(URL[7:], url[7:]) + "pause-on-startup = true\n" * (name == "bp-b"))

    def type(self, host: str, line: str) -> str:
        """Give a command on a host; return what it prints. Of systemctl only what it does to the agent is done."""
        agent = self.agents[host]
        for shown, real in self._theirs[host].items():
            line = line.replace(shown, real)
        program, *words = shlex.split(line)
        if program == "systemctl":
            assert words in ([words[0], "--now", "nodeos-failover"], ["reload", "nodeos-failover"])
            if words[0] != "reload":
                agent.start() if words[0] == "enable" else agent.stop(grace=20)
                return ""
            program, words = "nodeos-failover", ["reload"]  # what the unit runs for it
        command = [sys.executable, "-m", "agent"] if program == "nodeos-failover" else [program]
        environment = {**os.environ, "NODEOS_FAILOVER_CONFIG": str(agent.config), "COLUMNS": "110"}
        done = subprocess.run([*command, *words], env=environment, capture_output=True, text=True, timeout=120)
        if words[:2] == ["config", "init"]:  # what the laboratory has on one machine, and its small disk
            agent.config.write_text(f"{agent.config.read_text()}\n{self._ours[host]}\n")
        came = done.stdout + done.stderr
        for shown, real in self._theirs[host].items():
            came = came.replace(real, shown)
        return came

    def replay(self, host: str, line: str, shown: list[str]) -> None:
        """Give a command, and see that the page shows what comes; a look is repeated until it does."""
        end = time.monotonic() + LIMIT
        while wrong := as_shown(shown, came := self.type(host, line)):
            look = line.startswith(LOOKS)
            assert look and time.monotonic() < end, f"{host}# {line}\n{came}\nthe page: {wrong}"
            time.sleep(0.5)


def test_the_page_shows_what_comes(tmp_path: Path) -> None:
    """From a live producer to a governed group, a handover, and back out: no slot signed twice, none missed in it."""
    with Lab(tmp_path) as lab:
        hosts = Hosts(lab, tmp_path)
        chain = hosts.chain
        chain.observer.wait_blocks(2)
        head = chain.observer.head
        for host, line, shown in commands():
            if "maintenance" in line:
                assert evidence.slots_missed(chain.observer, head) == 0
            hosts.replay(host, line, shown)
        resumed = time.time()
        until(
            lambda: evidence.first_after(chain.signed(), "bp-b", resumed), LIMIT, "the producer without agents to sign"
        )
        assert chain.doubles() == {}


@pytest.mark.parametrize(
    ("shown", "came", "wrong"),
    [
        (["head 17", "…"], "head  4242  \nmore\n", ""),
        (["a", "…", "age -0.3 s"], "a\nb\nc\nage 0.2 s\n", ""),
        (["a", "c"], "a\nb\nc\n", "c"),
        (["a"], "a\nb\n", "(no more)"),
        (["leads … since 2026"], "leads nobody\n", "leads … since 2026"),
    ],
)
def test_a_difference_is_found(shown: list[str], came: str, wrong: str) -> None:
    """What the page has and did not come, or what came and it has not, is named."""
    assert as_shown(shown, came) == wrong
