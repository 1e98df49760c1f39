"""The reader of sections: strict types, every fault at once, a part as well as the whole."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from agent.config.alerts import AlertChannel
from agent.config.base import Optional
from agent.config.load import _merge, tables_of
from agent.config.model import Config, settings
from agent.config.secrets import channel_texts
from agent.config.section import Field, Invalid, SecretStr, Section, relation
from agent.config.shared import settings_of
from tests.doctor.parts import config
from tests.lab import docs


def even(value: int) -> int:
    """Refuse odd numbers."""
    if value % 2:
        raise ValueError("is odd: take the next")
    return value


class Inner(Section):
    """A table."""

    low: int = Field(default=1, ge=0, le=9)
    high: Annotated[int, even] = 2
    name: Optional[str] = None

    @relation
    def _ordered(self) -> Iterator[str]:
        if self.high < self.low:
            yield "inner.high is below inner.low"


class Outer(Section):
    """A whole."""

    flag: bool
    span: float = 1.0
    path: Path = Path("/")
    word: Literal["a", "b"] = "a"
    key: Optional[SecretStr] = None
    words: tuple[str, ...] = ()
    inner: Inner = Inner()
    several: tuple[Inner, ...] = ()

    @relation
    def _fits(self) -> Iterator[str]:
        if self.inner.low > self.span:
            yield "span is below inner.low"


class Part(Section, partial=True):
    """A part of it."""

    span: float = 1.0


def faults(kind: type[Section], **given: Any) -> list[tuple[str, str]]:
    """Return place and text of all that is wrong."""
    with pytest.raises(Invalid) as caught:
        kind.model_validate(given)
    return [(".".join(map(str, each.loc)), each.text or each.kind) for each in caught.value.faults]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("flag", "yes", "should be true or false, without quotes"),
        ("flag", 1, "should be true or false, without quotes"),
        ("span", "10", "should be a number, without quotes"),
        ("span", True, "should be a number, without quotes"),
        ("path", 5, "should be a text in quotes"),
        ("word", "c", "should be 'a' or 'b'"),
        ("word", ["a"], "should be 'a' or 'b'"),
        ("key", 7, "should be a text in quotes"),
        ("words", "a", "should be a list in [ ]"),
        ("inner", 3, "should be a table"),
    ],
)
def test_types_are_strict(name: str, value: Any, text: str) -> None:
    """A text is no number, a number is no truth: what was meant is for the operator to say."""
    assert faults(Outer, **{"flag": True, name: value}) == [(name, text)]


def test_a_whole_number_is_taken_for_a_span_and_an_empty_text_takes_a_value_back() -> None:
    """TOML writes 6 for 6.0, and knows no null."""
    found = Outer(flag=True, span=6, inner={"name": ""})  # type: ignore[arg-type]  # as a file says it
    assert (found.span, type(found.span), found.inner.name) == (6.0, float, None)


def test_every_fault_is_told_at_once_those_between_settings_too() -> None:
    """What rests on a faulty value is not judged, and all else in its table and in the whole is."""
    found = faults(
        Outer, span=0.5, word="c", inner={"low": 4, "high": 2, "name": 5}, several=[{"low": 10}, {"high": 3}], x=1
    )
    assert found == [
        ("flag", "missing"),
        ("word", "should be 'a' or 'b'"),
        ("inner.name", "should be a text in quotes"),
        ("inner", "inner.high is below inner.low"),
        ("several.0.low", "should be less than or equal to 9"),
        ("several.1.high", "is odd: take the next"),
        ("x", "unknown"),
        ("", "span is below inner.low"),
    ]


def test_a_part_is_read_without_the_rest() -> None:
    """Who needs one setting is not stopped by the others, faulty or not known."""
    assert Part.model_validate({"span": 2, "flag": 7, "more": {}}).span == 2
    assert faults(Part, span="2", flag=7) == [("span", "should be a number, without quotes")]


def test_a_section_is_frozen_and_equal_by_its_values() -> None:
    """A configuration never changes under its readers."""
    one = Outer(flag=True)
    with pytest.raises(AttributeError):
        one.__setattr__("flag", False)
    assert one == Outer(flag=True)
    assert hash(one) == hash(Outer(flag=True))
    assert one != one.replace(flag=False)


def test_variables_are_read_by_the_type_of_their_setting() -> None:
    """A variable is always a text: it becomes what its setting is, or stays to be refused by its name."""
    environ = {
        "NODEOS_FAILOVER_HEALTH__PEERS": '{"min": 3, "rise": 4}',
        "nodeos_failover_health__peers__rise": "5",
        "NODEOS_FAILOVER_HEALTH__PEERS__ENABLED": "No",
        "NODEOS_FAILOVER_HEALTH__PEERS__MAX__X": "1",
        "NODEOS_FAILOVER_TIMING__VALIDITY": "6.5",
        "NODEOS_FAILOVER_TIMING__RENEW": "soon",
        "NODEOS_FAILOVER_ETCD__ENDPOINTS": "a:1, b:1",
        "NODEOS_FAILOVER_ALERTS": '[{"name": "ops"}]',
        "NODEOS_FAILOVER_FENCE__COMMAND": "",
        "NODEOS_FAILOVER_GATE": "[" * 100_000,
        "NODEOS_FAILOVER_NODE_": "x",
        "RUNTIME_DIRECTORY": "/run/a:/run/b",
    }
    assert tables_of(Config, environ) == {
        "health": {"peers": {"min": 3, "rise": 5, "enabled": False, "max__x": "1"}},
        "timing": {"validity": 6.5, "renew": "soon"},
        "etcd": {"endpoints": ["a:1", "b:1"]},
        "alerts": [{"name": "ops"}],
        "fence": {"command": []},
        "gate": "[" * 100_000,
        "node_": "x",
        "runtime": {"dir": "/run/a"},
    }


def test_every_default_is_of_its_own_type() -> None:
    """Defaults are not checked when a file is read, so that they are right is shown here."""
    for path, setting in settings():
        if not setting.required and setting.default is not None and "[]" not in path:
            *tables, name = path.split(".")
            given: dict[str, Any] = {name: setting.default}
            for table in reversed(tables):
                given = {table: given}
            with pytest.raises(Invalid) as caught:
                Config.model_validate(given)
            assert not [each for each in caught.value.faults if each.kind in ("type", "value")], path


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
