"""Asking the signing gate, and looking at the permit page. Changes nothing."""

from __future__ import annotations

import stat

from agent.config.model import Config
from agent.core.model.copying import replace
from agent.doctor.facts import GateFacts
from agent.errors import GateError
from agent.gate import settings
from agent.gate.client import look

ASK_S = 2.0


def gather(config: Config) -> GateFacts:
    """Return what there is to know of the gate; nothing when there is none."""
    if config.gate.mode == "off":
        return GateFacts()
    page = settings.page_path(config.runtime.dir, config.group, config.node)
    try:
        outer, inner = config.runtime.dir.stat(), page.stat()
        found = GateFacts(
            page=(inner.st_uid, stat.S_IMODE(inner.st_mode)), directory=(outer.st_uid, stat.S_IMODE(outer.st_mode))
        )
    except OSError as error:
        found = GateFacts(page_error=f"{page}: {error.strerror}")
    try:
        user = settings.user(config.gate.agent_user)
    except ValueError:
        user = -1
    try:
        return replace(found, agent_user=user, status=look(config.gate.control, ASK_S, page))
    except GateError as error:
        return replace(found, agent_user=user, error=str(error))
