"""What doctor says of the signing gate: well, and each way of not being well."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.doctor import gate
from agent.doctor.examine import Facts, findings
from agent.doctor.finding import Grade
from agent.doctor.gate import GateFacts
from agent.gate.control import BOUNDS
from agent.gate.wire import SIGN
from agent.nodeos import config_ini
from agent.nodeos.config_ini import Options
from agent.ports import GateStatus
from tests.doctor.parts import KEY, NODEOS, WELL, config
from tests.support.gate_bench import gate_on_fake

OK, WARN, FAULT, UNKNOWN, SKIPPED = Grade
LISTEN = "http://127.0.0.1:8890"
STATUS = GateStatus(9, 1, True, "ready", 5, 99_000, {}, (0,) * (len(BOUNDS) + 1), 0.0)
GATE = GateFacts(STATUS, "", (0, 0o640), (0, 0o750), "", 0)
OPTIONS = Options(
    {
        "pause-on-startup": ("true",),
        "signature-provider": (KEY,),
        "signers": (f"{KEY}=KEOSD:{LISTEN}{SIGN}",),
        "keosd-provider-timeout": ("100",),
    },
    ("/etc/nodeos/config.ini",),
)


def facts(**other: Any) -> Facts:
    """Return what is well, with another gate."""
    return replace(WELL, nodeos=replace(NODEOS, options=OPTIONS), gate=replace(GATE, **other))


def with_options(**values: tuple[str, ...]) -> Facts:
    """Return what is well, with other options of nodeos."""
    changed = {**OPTIONS.values, **{key.replace("_", "-"): value for key, value in values.items()}}
    return replace(facts(), nodeos=replace(NODEOS, options=Options(changed, OPTIONS.sources)))


def told(found: Facts, **gate: Any) -> dict[str, tuple[Grade, str]]:
    """Return what is said of the gate."""
    section = {"mode": "on", "agent_user": "root", **gate}
    return {each.name: (each.verdict, each.seen + each.remedy) for each in findings(found, config(gate=section))}


def test_a_gate_that_is_well_is_told_so_and_none_is_not_told() -> None:
    """All checks are content; where the mode is off there are none."""
    found = told(facts())
    names = {name for name in found if name.startswith("gate")}
    assert names == {"gate", "gate_keosd", "gate_permit", "gate_signature_provider", "gate_provider_timeout"}
    assert {found[name][0] for name in names} == {OK}
    assert not [name for name in told(facts(), mode="off") if name.startswith("gate")]


CASES = [
    ("gate", FAULT, facts(status=None, error="it does not answer"), "does not answer"),
    ("gate", FAULT, facts(status=replace(STATUS, holds=False)), "has not locked"),
    ("gate_keosd", UNKNOWN, facts(status=None), "only the gate can tell"),
    ("gate_keosd", FAULT, facts(status=replace(STATUS, keosd="no unlocked wallet has the key")), "import the key"),
    ("gate_permit", UNKNOWN, facts(page=None, page_error="gone"), "gone"),
    ("gate_permit", FAULT, facts(page=(0, 0o660)), "others than the agent may write"),
    ("gate_permit", WARN, facts(directory=(0, 0o777)), "may take the page out"),
    ("gate_permit", FAULT, facts(page=(7, 0o640)), "belongs to user 7"),
    ("gate_permit", WARN, facts(page=(0, 0o644), directory=(0, 0o755)), "everybody may read"),
    ("gate_signature_provider", FAULT, with_options(signers=(f"{KEY}=KEY",)), "has the private key itself"),
    ("gate_signature_provider", FAULT, with_options(signers=()), "no signature-provider for the key"),
    (
        "gate_signature_provider",
        FAULT,
        with_options(signers=(f"{KEY}=KEOSD:http://127.0.0.1:6666{SIGN}",)),
        "past the gate",
    ),
    ("gate_provider_timeout", WARN, with_options(keosd_provider_timeout=()), "is 5 ms"),
    ("gate_provider_timeout", WARN, with_options(keosd_provider_timeout=("20",)), "is 20 ms"),
    ("gate_provider_timeout", UNKNOWN, replace(WELL, gate=GATE, nodeos=replace(NODEOS, options=Options())), "seen"),
]


@pytest.mark.parametrize(("name", "verdict", "found", "word"), CASES)
def test_each_fault_is_told_with_its_remedy(name: str, verdict: Grade, found: Facts, word: str) -> None:
    """What is wrong is named, and what to do about it."""
    said = told(found)[name]
    assert said[0] is verdict
    assert word in said[1]


def test_a_key_that_is_none_is_not_that_of_the_gate() -> None:
    """A signature-provider with a broken key leaves the gate without one, and is no defect of doctor."""
    found = with_options(signers=("EOS1broken=KEY",))
    assert told(found)["gate_signature_provider"][0] is FAULT
    assert "no signature-provider" in told(found)["gate_signature_provider"][1]


def test_private_keys_are_dropped_and_the_way_is_kept() -> None:
    """Of a provider with the key nothing secret is kept; of one with a gate its address is."""
    ini = f"signature-provider = {KEY}=KEY:5KsecretSECRET\nsignature-provider={KEY}=KEOSD:{LISTEN}{SIGN} # gate\n"
    found = config_ini.merged(config_ini.of_ini(ini), ("x",))
    assert found.values["signature-provider"] == (KEY, KEY)
    assert found.values["signers"] == (f"{KEY}=KEY", f"{KEY}=KEOSD:{LISTEN}{SIGN}")
    assert "secret" not in str(found).lower().replace("no secret", "")
    line = config_ini.of_command_line(
        ["--signature-provider", f"{KEY}=KEY:5Ksecret", "--keosd-provider-timeout", "100"]
    )
    assert line == [("signature-provider", KEY), ("signers", f"{KEY}=KEY"), ("keosd-provider-timeout", "100")]


def test_a_real_gate_is_gathered(tmp_path: Path) -> None:
    """Status, page and directory of a gate that runs are seen."""
    with gate_on_fake(tmp_path) as (bench, _):
        section = {"mode": "on", "control": str(bench.control), "listen": f"http://127.0.0.1:{bench.port}"}
        whole = config(group="lab", node="bp-a", gate=section, runtime={"dir": str(tmp_path)})
        found = gate.gather(whole)
        assert found.status is not None
        assert found.status.holds
        assert found.page == (os.geteuid(), 0o640)
        assert found.directory == (os.geteuid(), stat.S_IMODE(tmp_path.stat().st_mode))
        assert found.agent_user == os.geteuid()
        assert gate.process(found, whole).verdict is OK
        bench.page.rename(tmp_path / "other")
        gone = gate.gather(whole)
        assert gone.status is not None
        assert not gone.status.holds
        assert "No such file" in gone.page_error
    assert gate.gather(whole).status is None
    assert gate.gather(config()) == GateFacts()
