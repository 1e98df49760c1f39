"""Defaults are what operators read, and bounds are kept: a value that cannot work is refused by its name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

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
    with pytest.raises(ValidationError) as caught:
        config(health={check: {field: value}})
    assert ("health", check, field) in {each["loc"] for each in caught.value.errors()}


def test_members_see_whether_their_checks_agree() -> None:
    """The digest of the checks changes with each threshold, and with nothing else."""

    def digest(**other: Any) -> str:
        words = dict(word.split("=", 1) for word in settings_of(config(**other)).split())
        assert len(words["health"]) == 8
        return words["health"]

    usual = digest()
    assert digest(node="bp-b", election={"priority": 3}) == usual
    changed = [digest(health={"peers": {"min": 7}}), digest(health={"head_age": {"max": 9}})]
    assert len({usual, *changed}) == 3
