"""What a command of an operator needs of a configuration beside the group: the way to its etcd, and nothing else.

An operator need not be able to read what only the agent may (keys, passwords, nodeos's files), so those settings are
not even looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from agent.config.judge import every_problem
from agent.config.secrets import fill_secrets
from agent.config.sections import EtcdSection
from agent.config.timing import TimingSection
from agent.errors import ConfigError


class OperatorView(BaseModel):
    """The part of a configuration; all other settings are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    node: str | None = None
    etcd: EtcdSection
    timing: TimingSection = TimingSection()


def operator_view(data: dict[str, Any], environ: Mapping[str, str]) -> OperatorView:
    """Check what `load.tables` or the command line gave. ConfigError with a line for each problem."""
    problems = fill_secrets({"etcd": data.get("etcd")}, environ)
    try:
        view = OperatorView.model_validate(data)
    except ValidationError as error:
        problems += every_problem(OperatorView, data, error, environ)
    if problems:
        raise ConfigError(problems)
    return view
