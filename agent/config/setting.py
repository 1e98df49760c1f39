"""What a setting is: its type, default, meaning and bounds, and what is wrong with one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args, get_origin

MASK = "**********"
REQUIRED: Any = object()
"""In the place of a default: the setting has to be given."""
Loc = tuple[int | str, ...]


class SecretStr:
    """A text that nothing shows by accident."""

    def __init__(self, text: str) -> None:
        self._text = text

    def get_secret_value(self) -> str:
        """Return the text itself."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretStr) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __str__(self) -> str:
        return MASK if self._text else ""

    def __repr__(self) -> str:
        return f"SecretStr('{self}')"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `least` and `most` are taken, `above` is not. `form`: `pattern` in words."""

    default: Any = REQUIRED
    description: str = ""
    examples: tuple[Any, ...] = ()
    least: float | None = None
    above: float | None = None
    most: float | None = None
    pattern: str = ""
    form: str = ""
    name: str = ""
    hint: Any = None

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return self.default is REQUIRED

    @property
    def bounds(self) -> dict[str, float | None]:
        """The bounds of a number as JSON schema names them, those of its type included."""
        within_type = get_args(self.hint)[1:] if get_origin(self.hint) is Annotated else ()
        marks = [self, *(each for each in within_type if isinstance(each, Setting))]
        names = {"minimum": "least", "exclusiveMinimum": "above", "maximum": "most"}
        return {
            key: next((bound for each in marks if (bound := getattr(each, name)) is not None), None)
            for key, name in names.items()
        }

    @property
    def secret(self) -> bool:
        """Whether its value must not be shown."""
        return SecretStr in leaves(self.hint)


def Field(  # noqa: N802 - it stands where a type checker looks for a field's default
    *,
    default: Any = REQUIRED,
    description: str = "",
    examples: tuple[Any, ...] | list[Any] = (),
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    pattern: str = "",
    form: str = "",
) -> Any:
    """Describe a setting: its default, meaning and bounds (see `Setting`)."""
    return Setting(default, description, tuple(examples), ge, gt, le, pattern, form)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at one place. `kind`: missing, unknown, value (`text` is a sentence), type (`text`: should be …).

    whole: the text is a complete line, for a section with a place of its own knows the names of its settings.
    """

    loc: Loc
    kind: Literal["missing", "unknown", "value", "type", "whole"]
    text: str = ""
    value: Any = field(default=None, repr=False)


class Invalid(ValueError):
    """A section that cannot be; `faults` has all that is wrong with it."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("\n".join(f"{'.'.join(map(str, each.loc))}: {each.text or each.kind}" for each in faults))


class NotGiven(AttributeError):
    """A value that was faulty is asked for: what depends on it cannot be judged."""


class Wrong(Exception):
    """A value is not of its type; the text says what it should be, and is empty where the fault is noted already."""


def leaves(hint: Any) -> list[Any]:
    """Return the types that a hint is made of."""
    inner = [each for each in get_args(hint) if each is not ...]
    if get_origin(hint) is Annotated:
        return leaves(inner[0])
    if not inner or get_origin(hint) is Literal:
        return [hint]
    return [leaf for each in inner for leaf in leaves(each)]


def single(hint: Any) -> Any:
    """Return the type of a single value."""
    return leaves(hint)[0]


def is_list(hint: Any) -> bool:
    """Tell whether a setting has several entries."""
    return get_origin(get_args(hint)[0] if get_origin(hint) is Annotated else hint) is tuple


def within(value: Any, setting: Setting) -> None:
    """Raise Wrong when a value is out of bounds."""
    if value is None:
        return
    if setting.least is not None and not value >= setting.least:
        raise Wrong(f"should be greater than or equal to {setting.least:g}")
    if setting.above is not None and not value > setting.above:
        raise Wrong(f"should be greater than {setting.above:g}")
    if setting.most is not None and not value <= setting.most:
        raise Wrong(f"should be less than or equal to {setting.most:g}")
    if setting.pattern and not re.search(setting.pattern, value):
        raise Wrong(f"should be {setting.form}")


def one_of(value: Any, words: tuple[str, ...]) -> Any:
    """Return one of a few words; Wrong when it is none."""
    if value not in words:
        shown = [repr(each) for each in words]
        raise Wrong(f"should be {', '.join(shown[:-1])} or {shown[-1]}")
    return value
