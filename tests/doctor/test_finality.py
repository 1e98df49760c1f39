"""What doctor says of finality: policy, the own key, the time-out for votes, what nodeos remembers of its votes."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.model.finality import Finality, Finalizer
from agent.doctor.examine import Facts, findings
from agent.doctor.finding import Grade
from agent.nodeos.config_ini import Options, merged, of_ini
from tests.doctor.parts import KEY, WELL, config, nodeos

OK, WARN, FAULT, UNKNOWN, SKIPPED = Grade
OURS, THEIRS = ("PUB_BLS_" + each * 130 for each in "AB")
INI = ("/etc/nodeos/config.ini",)


def spring(active: str = OURS, account: str = "eosio", **options: str) -> Facts:
    """Return a well node on a Savanna chain that has our BLS key."""
    values = {"pause-on-startup": ("true",), "signature-provider": (KEY, OURS)}
    given = {name.replace("_", "-"): (value,) for name, value in options.items()}
    policy = Finality((Finalizer(account, active), Finalizer("c", "PUB_BLS_c")))
    return nodeos(finality=policy, safety=True, options=Options(values | given, INI))


def with_key(**more: Any) -> dict[str, Any]:
    """Return a configuration's table that names our key and a command."""
    return {"public_key": OURS, "command": ["/bin/true"], **more}


CASES = [
    (WELL, {}, "finalizer_policy", SKIPPED, "before Savanna"),
    (spring(), with_key(), "finalizer_policy", OK, "with the key of this host"),
    (spring(THEIRS), with_key(), "finalizer_policy", OK, "ours becomes active when this node leads"),
    (spring(THEIRS), with_key(command=[]), "finalizer_policy", WARN, "not with our key"),
    (spring(), {}, "finalizer_policy", WARN, "no take-over changes that"),
    (spring(account="another1"), with_key(), "finalizer_policy", WARN, "eosio is not in the policy"),
    (spring(), with_key(), "finalizer_key", OK, "nodeos has it"),
    (spring(), with_key(public_key=THEIRS), "finalizer_key", FAULT, "not finalizer.public_key"),
    (spring(), {}, "finalizer_key", SKIPPED, "not set"),
    (spring(), with_key(), "vote_timeout", OK, "6000"),
    (spring(production_pause_vote_timeout_ms="0"), with_key(), "vote_timeout", WARN, "signs on"),
    (spring(production_pause_vote_timeout_ms="2000"), with_key(), "vote_timeout", WARN, "a key becomes active after"),
    (spring(production_pause_vote_timeout_ms="2000"), {}, "vote_timeout", OK, "2000"),
    (spring(), with_key(), "finalizer_safety", OK, "is there"),
]


@pytest.mark.parametrize(("facts", "finalizer", "name", "grade", "seen"), CASES)
def test_finality_is_judged(facts: Facts, finalizer: dict[str, Any], name: str, grade: Grade, seen: str) -> None:
    """Each case has its finding, with a remedy where something is to be done."""
    found = next(each for each in findings(facts, config(finalizer=finalizer)) if each.name == name)
    assert (found.verdict, seen in found.seen) == (grade, True), found
    assert bool(found.remedy) is (grade not in (OK, SKIPPED))


def test_a_node_that_forgot_its_votes_is_warned_of() -> None:
    """Without safety.dat a finalizer may vote against itself; where nobody could look, that is said."""
    for safety, grade in ((False, WARN), (None, UNKNOWN)):
        facts = nodeos(finality=spring().nodeos.finality, safety=safety, options=spring().nodeos.options)
        found = {each.name: each for each in findings(facts, config(finalizer=with_key()))}
        assert found["finalizer_safety"].verdict is grade


def test_the_time_out_is_read_from_nodeos_own_file() -> None:
    """The option is among what is kept of a config.ini."""
    found = merged(of_ini("production-pause-vote-timeout-ms = 2500 # short\n"), INI)
    assert found.values == {"production-pause-vote-timeout-ms": ("2500",)}
