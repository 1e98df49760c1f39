"""Defaults are what operators read, and bounds are kept: a value that cannot work is refused by its name."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from agent.config.alerts import AlertChannel
from agent.config.load import _merge
from agent.config.secrets import channel_texts
from agent.config.setting import Invalid, SecretStr
from agent.config.shared import settings_of
from tests.doctor.parts import config
from tests.lab import docs

SPANS_ABOVE_ZERO = ("head_age.max", "lib_progress.max", "clock_offset.max", "can_lead.max", "main_thread.timeout")


def test_the_table_of_settings_is_up_to_date() -> None:
    """The table of CONFIGURATION.md, with the defaults of all settings, is what `make docs` would write."""
    assert docs.up_to_date(docs.CONFIGURATION) == docs.CONFIGURATION.read_text(), "run make docs"


@pytest.mark.parametrize("setting", SPANS_ABOVE_ZERO)
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), True])
def test_a_span_of_a_check_is_above_zero(setting: str, value: Any) -> None:
    """With none the check could never be passed; the error names the setting."""
    check, _, field = setting.partition(".")
    with pytest.raises(Invalid) as caught:
        config(health={check: {field: value}})
    assert ("health", check, field) in {each.loc for each in caught.value.faults}


@pytest.mark.parametrize(
    ("section", "field", "least", "most"),
    [
        ("election", "priority", 0, 1000),
        ("urgency", "far_fall", 1, 1000),
        ("health.head_age", "rise", 1, 1000),
        ("health.head_age", "fall", 1, 1000),
        ("health.process", "rise", 1, 1000),
        ("health.process", "fall", 1, 1000),
        ("health.peers", "min", 0, 100_000),
    ],
)
def test_a_count_within_its_bounds_is_taken_and_one_beyond_is_refused(
    section: str, field: str, least: int, most: int
) -> None:
    """The bounds belong to it."""

    def given(value: int) -> dict[str, Any]:
        outer, _, inner = section.partition(".")
        extra = {"near_fall": 1} if section == "urgency" else {}
        fields = {field: value, **extra}
        return {outer: {inner: fields} if inner else fields}

    for value in (least, most):
        config(**given(value))
    for value in (least - 1, most + 1):
        with pytest.raises(Invalid) as caught:
            config(**given(value))
        assert (*section.split("."), field) in {each.loc for each in caught.value.faults}


@pytest.mark.parametrize(("port", "good"), [(1, True), (65_535, True), (65_536, False), (99_999, False)])
def test_the_port_of_the_pages_is_one(port: int, good: bool) -> None:
    """65535 is the last; the error names the setting."""
    if good:
        assert config(http={"listen": f"127.0.0.1:{port}"}).http.address == ("127.0.0.1", port)
        return
    with pytest.raises(Invalid) as caught:
        config(http={"listen": f"127.0.0.1:{port}"})
    assert any("http" in each.loc for each in caught.value.faults)


def test_a_hook_that_no_process_can_be_started_with_is_refused() -> None:
    """No argument of a process can have a zero byte: the agent would fail at the change of leader."""
    with pytest.raises(Invalid, match="zero byte"):
        config(hooks={"before_promote": ["/bin/true", "a\0b"]})


def test_of_an_address_within_an_address_all_is_secret() -> None:
    """What stands behind the host is masked whole, also where it has an address of its own in it."""
    rest = "/forward?to=https://chat.example/token"
    channel = AlertChannel(name="ops", type="webhook", url=SecretStr(f"https://hooks.example{rest}"))
    assert channel_texts(channel) == [f"https://hooks.example{rest}", rest]


def test_what_is_laid_over_a_table_changes_neither() -> None:
    """Tables are merged at each depth, a value replaces a table, and both stay as they were."""
    below = {"a": {"b": {"c": 1, "d": 2}}, "e": {"f": 3}, "g": 4, "i": {"j": 7}}
    above = {"a": {"b": {"c": 9}}, "e": 5, "g": {"h": 6}}
    kept = deepcopy((below, above))
    merged = _merge(below, above)
    assert merged == {"a": {"b": {"c": 9, "d": 2}}, "e": 5, "g": {"h": 6}, "i": {"j": 7}}
    merged["a"]["b"]["d"] = merged["i"]["j"] = 8
    assert (below, above) == kept


def test_an_address_of_the_gate_that_cannot_be_is_refused() -> None:
    """The path of its socket has at most as many bytes as the kernel takes; each error names the setting."""
    bad = {"control": "/" + "x" * 200, "keosd": "ftp://x", "listen": "nowhere", "wallet": "../w", "public_key": "EOS1"}
    for name, value in bad.items():
        with pytest.raises(Invalid) as caught:
            config(gate={name: value})
        assert ("gate", name) in {each.loc for each in caught.value.faults}


def test_members_see_whether_their_checks_agree() -> None:
    """The digest of the checks changes with each threshold, and with nothing else."""

    def words_of(**other: Any) -> dict[str, str]:
        return dict(word.split("=", 1) for word in settings_of(config(**other)).split())

    def digest(**other: Any) -> str:
        words = words_of(**other)
        assert len(words["health"]) == 8
        return words["health"]

    timing = config().timing
    assert words_of()["timing"].split("/")[:2] == [f"{timing.validity:g}", f"{timing.renew:g}"]
    assert words_of()["producer"] == "eosio"
    assert words_of()["chain"] == "a" * 8
    usual = digest()
    assert digest(node="bp-b", election={"priority": 3}) == usual
    changed = [digest(health={"peers": {"min": 7}}), digest(health={"head_age": {"max": 9}})]
    assert len({usual, *changed}) == 3
