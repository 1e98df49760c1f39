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
from typing import Any

import pytest

from tests.lab import evidence
from tests.lab.agents import Agent
from tests.lab.chain import Chain
from tests.lab.lab import Lab
from tests.lab.wait import until

pytestmark = pytest.mark.real
PAGE = (Path(__file__).parents[2] / "deploy" / "ADOPTING.md").read_text()
URL = "http://127.0.0.1:8888"
"""nodeos's, as the page has it."""
LIMIT = 40.0
"""Seconds until what is looked at is as the page has it."""
LOOKS = ("status", "history", "doctor", "check", "config")
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
    """Two hosts with their agents, as the page names them."""

    def __init__(self, lab: Lab, chain: Chain) -> None:
        etcd = lab.etcd(1)
        (text,) = re.findall(r"(?s)```toml\n(.*?)```", PAGE)
        settings: dict[str, Any] = tomllib.loads(text)
        assert settings.pop("nodeos") == {"url": URL}
        assert settings.pop("etcd").keys() == {"endpoints"}
        assert settings.pop("node") == "bp-a"
        self.chain = chain
        self.agents: dict[str, Agent] = {n: lab.agent(node, etcd, **settings) for n, node in chain.nodes.items()}

    def type(self, host: str, line: str) -> str:
        """Give a command on a host; return what it prints. Of systemctl only what it does to the agent is done."""
        agent = self.agents[host]
        program, *words = shlex.split(line.replace(URL, self.chain.nodes[host].http_url))
        if program == "systemctl":
            assert words[1:] == ["--now", "nodeos-failover"]
            agent.start() if words[0] == "enable" else agent.stop(grace=20)
            return ""
        command = [sys.executable, "-m", "agent"] if program == "nodeos-failover" else [program]
        environment = {**os.environ, "NODEOS_FAILOVER_CONFIG": str(agent.config), "COLUMNS": "110"}
        done = subprocess.run([*command, *words], env=environment, capture_output=True, text=True, timeout=120)
        return (done.stdout + done.stderr).replace(self.chain.nodes[host].http_url, URL)

    def replay(self, host: str, line: str, shown: list[str]) -> None:
        """Give a command, and see that the page shows what comes; a look is repeated until it does."""
        end = time.monotonic() + LIMIT
        while wrong := as_shown(shown, came := self.type(host, line)):
            look = any(line.startswith(f"nodeos-failover {each}") for each in LOOKS)
            assert look and time.monotonic() < end, f"{host}# {line}\n{came}\nthe page: {wrong}"
            time.sleep(0.5)


def test_the_page_shows_what_comes(tmp_path: Path) -> None:
    """From a live producer to a governed group, a handover, and back out: no slot signed twice, none missed in it."""
    with Lab(tmp_path) as lab:
        chain = lab.chain(2)
        hosts = Hosts(lab, chain)
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
