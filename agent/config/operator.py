"""What a command of an operator needs of a configuration beside the group: the way to its etcd, and nothing else.

An operator need not be able to read what only the agent may (keys, passwords, nodeos's files), so those settings are
not even looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.config.load import checked
from agent.config.secrets import fill_secrets
from agent.config.section import Section
from agent.config.sections import EtcdSection
from agent.config.timing import TimingSection


class OperatorView(Section, partial=True):
    """The part of a configuration; all other settings are ignored."""

    node: str | None = None
    etcd: EtcdSection
    timing: TimingSection = TimingSection()


def operator_view(data: dict[str, Any], environ: Mapping[str, str]) -> OperatorView:
    """Check what `load.tables` or the command line gave. ConfigError with a line for each problem."""
    return checked(OperatorView, data, environ, fill_secrets({"etcd": data.get("etcd")}, environ))
