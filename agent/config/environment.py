"""Settings from environment variables, nested as the sections are. Imported only where a variable is set."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

from agent.config.model import ENV_DELIMITER, ENV_PREFIX, section_of


def read(model: type[BaseModel], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what the variables in `environ` set, as nested tables; nothing is checked yet.

    A variable is a text, so numbers, true and false are read from texts here. One that is none goes on to be refused.
    """
    return _typed(model, _Environment(model, environ)())


def _typed(model: type[BaseModel], table: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(model.model_fields.get(name), value) for name, value in table.items()}


def _value(field: FieldInfo | None, value: Any) -> Any:
    if field is None:
        return value
    if isinstance(value, dict):
        section = section_of(field)
        return _typed(section, value) if section is not None else value
    if isinstance(value, str) and field.annotation in (bool, int, float):
        with suppress(ValidationError):
            return TypeAdapter(field.annotation).validate_python(value)
    return value


class _Environment(EnvSettingsSource):
    """pydantic's reading of nested variables, from a mapping that is passed in instead of os.environ."""

    def __init__(self, model: type[BaseModel], environ: Mapping[str, str]) -> None:
        self._environ = environ
        settings = cast("type[BaseSettings]", model)  # all that is read of it, every model has
        super().__init__(settings, env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_DELIMITER)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {key.lower(): value for key, value in self._environ.items()}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Read a list as JSON or as words with commas between; what is neither goes on to fail by its name."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            text = str(value)
            return value if text.lstrip().startswith(("[", "{")) else [word.strip() for word in text.split(",")]
