"""The reader of sections: strict types, every fault at once, a part as well as the whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from agent.config.base import Optional
from agent.config.environment import tables_of
from agent.config.model import Config, settings
from agent.config.section import Section, relation
from agent.config.setting import Field, Invalid, SecretStr


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
