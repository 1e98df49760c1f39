"""The pages: every fact in them that can drift is compared with the program, and every link leads somewhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from agent.cli.main import main
from agent.config.explain import variable_of
from agent.config.load import load
from agent.config.model import Config, settings
from agent.core.alerts.kinds import KINDS
from agent.core.alerts.notice import WORDS
from agent.core.leadership.timing import GateMode, Timing
from agent.core.model.keys import keys
from agent.host.paths import DEFAULT_CONFIG
from agent.telemetry import http_server
from tests.lab import binaries, docs

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (
        *ROOT.glob("*.md"),
        *(each for place in ("deploy", "grafana", "tests") for each in (ROOT / place).rglob("*.md")),
    )
}
FACTS = ("ADOPTING", "CONFIGURATION", "OPERATING", "SECURITY", "gate/README")
TEXT = "\n".join(
    (README, PAGES["tests/README.md"], PAGES["tests/lab/README.md"], *(PAGES[f"deploy/{name}.md"] for name in FACTS))
)
"""What is said of the program; the pages of the single methods of deployment have tests of their own."""
CODE = re.findall(r"(?m)^ {4}(\S.*)$", TEXT) + re.findall(r"`([^`\n]+)`", TEXT)
"""Lines of code, and code within lines."""
T = Timing()


def between(name: str) -> str:
    """Return what stands between the marks NAME:begin and NAME:end, in the one page that has them."""
    return TEXT.split(f"<!-- {name}:begin -->")[1].split(f"<!-- {name}:end -->")[0]


def rows(name: str) -> list[list[str]]:
    """Return the cells of a table between marks, without its head."""
    lines = [line for line in between(name).splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


# --- tables that are made from the program ---


def test_the_table_of_settings_is_what_the_command_prints() -> None:
    """The config reference is the output of `nodeos-failover config schema -f markdown`, with every setting."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", "config", "schema", "-f", "markdown"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert between("config").strip() == done.stdout.strip()
    assert [row[0].strip("`") for row in rows("config")] == [path for path, _ in settings()]


def test_the_metrics_named_exist() -> None:
    """Each metric named in a page is one that an agent exports."""
    table = docs.metrics_table()
    named = set(re.findall(r"`(nodeos_failover_\w+)`", TEXT)) - {"nodeos_failover_"}
    assert named
    assert [name for name in named if f"| `{name}` |" not in table] == []


def test_marks_that_are_missing_are_told() -> None:
    """A page without the marks is refused with the remedy, not written at random."""
    with pytest.raises(ValueError, match="config:begin"):
        docs.with_table("no marks here", "config", "| table |")


@pytest.mark.parametrize(("name", "table"), [("CONFIGURATION", "config"), ("METRICS", "metrics")])
def test_the_command_tells_and_mends_what_is_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, table: str
) -> None:
    """Without --update the command only tells (code 1); with it, it writes, and has nothing more to say."""
    right: Path = getattr(docs, name)
    file = tmp_path / right.name
    file.write_text(docs.with_table(right.read_text(), table, "| old |\n"))
    monkeypatch.setattr(docs, name, file)
    assert docs.main([]) == 1
    assert "| old |" in file.read_text()
    assert docs.main(["--update"]) == 0
    assert docs.main([]) == 0
    assert file.read_text() == right.read_text()


# --- configuration ---


def test_the_five_lines_load(tmp_path: Path) -> None:
    """The example of five lines is a whole configuration."""
    example = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)[0]
    assert len(example.splitlines()) == 5
    path = tmp_path / "config.toml"
    path.write_text(example)
    config = load(path, {})
    assert config.group == "eos-mainnet"
    assert len(config.etcd.endpoints) == 3


def test_the_variables_named_exist() -> None:
    """Each environment variable named sets something."""
    known = {variable_of(tuple(path.split("."))) for path, _ in settings()}
    known |= {binaries.NODEOS_VARIABLE, binaries.ETCD_VARIABLE}
    named = set(re.findall(r"NODEOS_FAILOVER_[A-Z_]*[A-Z]", TEXT))
    assert named
    assert named <= known


def test_the_settings_named_exist() -> None:
    """Each setting named in the text is one."""
    known = {path for path, _ in settings()} | set(Config.fields())
    named = {
        name for name in re.findall(r"`([a-z_]+\.[a-z_.]+[a-z])(?: = [^`]+)?`", TEXT) if name.split(".")[0] in known
    }
    assert {"timing.block", "fence.method", "http.listen"} <= named
    assert named <= known


def test_the_default_path_of_the_configuration_is_the_commands() -> None:
    """README.md names the file that the commands read by default, and no other below /etc."""
    assert set(re.findall(r"/etc/[\w./-]+\w", README)) == {DEFAULT_CONFIG}


# --- numbers ---


def seconds(span: int) -> str:
    """Return a span as the text writes it."""
    return f"{span / 1000:g}"


def test_the_numbers_of_the_inequality_are_those_of_the_defaults() -> None:
    """A, E, the inequality and what a restart may take are those of the default profile (R3)."""
    text = " ".join(TEXT.split()).replace("\u2212", "-")
    needed = f"{seconds(T.margin)} + 2 · {seconds(T.election)} + 2 · {seconds(T.renew)}"
    for said in (
        f"(P = {seconds(T.pause)} s)",
        f"(B = {seconds(T.block)} s)",
        f"(K = {seconds(T.kill)} s)",
        f"(G = {seconds(T.slack)} s): {seconds(T.margin)} s",
        f"{seconds(T.validity)} ≥ {needed} = {seconds(T.validity_needed)}",
        f"every R = {seconds(T.renew)} s",
        f"for E = {seconds(T.validity)} s",
        f"within E - A ({seconds(T.validity - T.margin)} s)",
    ):
        assert said in text, said
    assert T.problems() == []
    assert T.margin == T.pause + max(T.block, T.kill) + T.slack


def test_the_numbers_of_the_fast_profile_with_a_gate_are_accepted() -> None:
    """The spans that the text gives for a gate that is required hold, and not a millisecond less (R3)."""
    text = " ".join(TEXT.split())
    fast = Timing(validity=1600, renew=200, election=500, slack=100, lease_ttl=2, gate=GateMode.REQUIRED)
    needed = f"{seconds(fast.margin)} + 2 · {seconds(fast.election)} + 2 · {seconds(fast.renew)}"
    assert f"{seconds(fast.validity)} ≥ {needed} = {seconds(fast.validity_needed)}" in text
    assert fast.problems() == []


# --- form and links ---


def test_the_readme_is_a_front_door() -> None:
    """README.md has at most 180 lines, none above 120 characters."""
    lines = README.splitlines()
    assert len(lines) <= 180
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("name", sorted(PAGES))
def test_every_link_leads_somewhere(name: str) -> None:
    """Each relative link of a page leads to a file of the repository, and to a heading of it if it names one."""
    for target in re.findall(r"\]\(([^)#\s]*#?[^)\s]*)\)", PAGES[name]):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"(?m)^#+ (.*)$", file.read_text())
            assert anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}, target


# --- tests, targets, commands, keys, files ---


def test_every_test_named_exists() -> None:
    """Each row of the table of failures names a test that there is."""
    known = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    named = [row[-1].strip("`") for row in rows("failures")]
    assert len(named) >= 12
    assert [name for name in named if name not in known] == []


def test_every_alert_has_a_runbook() -> None:
    """Each alert has a heading in runbooks.md to which its link leads, and ALERTS.md lists them as they are."""
    text = docs.ALERTS.read_text()
    assert docs.up_to_date(docs.ALERTS) == text, "run make docs"
    runbooks = ROOT / "grafana" / "runbooks.md"
    assert set(KINDS) <= set(re.findall(r"(?m)^## ([a-z_]+)$", runbooks.read_text()))
    assert set(re.findall(r"`(\w+)`", text.split("`$` before them: ")[1].split(".")[0])) >= set(WORDS)
    assert (ROOT / Config.fields()["runbooks"].default) == runbooks


def test_every_make_target_named_exists() -> None:
    """Each `make TARGET` named is a target of the Makefile, and so is every phony one."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?m)^([a-z-]+):", makefile))
    named = {name for code in CODE for name in re.findall(r"\bmake ([a-z-]+)", code)}
    assert {"demo", "test", "docs"} <= named
    assert named <= targets
    phony = re.findall(r"(?m)^\.PHONY: (.*)$", makefile)[0].split()
    assert set(phony) == targets


def test_every_command_named_exists() -> None:
    """Each `nodeos-failover COMMAND` named is a command, with the options that it is shown with."""
    named = [code.split("#")[0].split() for code in CODE if re.match(r"nodeos-failover [a-z]", code)]
    assert ["nodeos-failover", "run"] in named
    assert ["nodeos-failover", "show-states"] in named
    named += [["nodeos-failover", *code.split()] for code in CODE if re.match(r"config (validate|show|schema)$", code)]
    for words in named:
        command: click.Command = main
        for word in words[1:]:
            if isinstance(command, click.Group) and not word.startswith("-"):
                assert word in command.commands, words
                command = command.commands[word]
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options, words


def test_every_word_of_the_operators_is_a_key() -> None:
    """The keys in the table of operators' words are those that the agents read."""
    names = keys("/nodeos-failover", "g")
    assert "`K=/nodeos-failover/<group>`" in TEXT
    named = set(re.findall(r"\$K/(\w+)", TEXT))
    assert {"leader", "override", "maintenance", "heartbeat"} <= named
    assert {names.root + name for name in named} <= {
        names.leader,
        names.heartbeat,
        names.override,
        names.maintenance,
        names.switchover,
        names.drain("")[:-1],
    }


def test_every_page_named_exists() -> None:
    """The HTTP pages named are those that the agent serves."""
    served = set(re.findall(r'"(/[a-z]+)"', Path(http_server.__file__).read_text()))
    named = set(re.findall(r"`(/(?:metrics|livez|readyz|leader|status))`", TEXT))
    assert len(named) == 5
    assert named <= served


def test_every_file_named_exists() -> None:
    """Each file of the repository that is named is there."""
    named = {code for code in CODE if re.fullmatch(r"(agent|tests|deploy|grafana)/[\w./-]*", code)}
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
