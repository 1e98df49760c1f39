"""What speaks against the signing gate beside us, and the way that nodeos takes to it. Changes nothing."""

from __future__ import annotations

import stat
from dataclasses import dataclass

from agent.config.model import Config
from agent.core.model.copying import replace
from agent.doctor.finding import Finding, fault, ok, unknown, warn
from agent.doctor.gather_nodeos import NodeosFacts
from agent.doctor.nodeos import unseen_options
from agent.errors import GateError
from agent.gate import settings
from agent.gate.client import look
from agent.gate.control import READY
from agent.gate.settings import PROVIDER_TIMEOUT_MS
from agent.gate.wire import SIGN
from agent.ports import GateStatus

DEFAULT_TIMEOUT_MS = 5
"""nodeos's own keosd-provider-timeout."""
ASK_S = 2.0


@dataclass(frozen=True, slots=True)
class GateFacts:
    """The signing gate: what it says, and user and mode of its permit page and the directory around it.

    `agent_user` is the number of the user that gate.agent_user names, -1: there is none.
    """

    status: GateStatus | None = None
    error: str = ""
    page: tuple[int, int] | None = None
    directory: tuple[int, int] | None = None
    page_error: str = ""
    agent_user: int = -1


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


def check(facts: GateFacts, nodeos: NodeosFacts, config: Config) -> list[Finding]:
    """Return everything about the gate, nothing where there is none."""
    if config.gate.mode == "off":
        return []
    return [process(facts, config), keosd(facts), permit(facts, config), provider(nodeos, config), timeout(nodeos)]


def process(facts: GateFacts, config: Config) -> Finding:
    """See that a gate answers, and signs by the page that our agent writes."""
    if facts.status is None:
        remedy = "start nodeos-failover-gate, and let us reach its socket: gate.control, and who may open it"
        return fault("gate", facts.error or "it was not asked", remedy)
    if not facts.status.holds:
        remedy = "start the agent, and give agent and gate the same group, node and runtime.dir; run one gate only"
        return fault("gate", f"the gate at {config.gate.control} has not locked the agent's permit page", remedy)
    return ok("gate", f"answers at {config.gate.control}, {facts.status.signed} signed since its start")


def keosd(facts: GateFacts) -> Finding:
    """See that keosd could sign."""
    if facts.status is None:
        return unknown("gate_keosd", "only the gate can tell", "start the gate")
    if facts.status.keosd == READY:
        return ok("gate_keosd", "its wallet is unlocked and has the key")
    remedy = "start keosd, import the key, and set gate.password_file so that the gate unlocks the wallet"
    return fault("gate_keosd", facts.status.keosd, remedy)


def permit(facts: GateFacts, config: Config) -> Finding:
    """See that only the agent writes the permit page, and that others cannot even reach it."""
    name = "gate_permit"
    if facts.page is None or facts.directory is None:
        return unknown(name, facts.page_error or "not looked at", "start the agent; run doctor as its user or root")
    where, (owner, mode), (_, outer) = config.runtime.dir, facts.page, facts.directory
    if mode & 0o022:
        return fault(name, "others than the agent may write the permit page", f"run chmod 0640 on the page in {where}")
    if config.gate.agent_user and owner != facts.agent_user:
        remedy = "set gate.agent_user to the user that the agent runs as"
        return fault(name, f"the page belongs to user {owner}, gate.agent_user is {config.gate.agent_user}", remedy)
    if outer & 0o022:
        return warn(name, f"others than the agent may take the page out of {where}", f"run chmod 0750 {where}")
    if mode & 0o007 and outer & 0o001:
        return warn(name, f"everybody may read the permit page in {where}", f"run chmod 0750 {where}")
    return ok(name, f"only the agent writes in {where}")


def provider(facts: NodeosFacts, config: Config) -> Finding:
    """See that nodeos asks the gate, and does not have the key itself."""
    name = "gate_signature_provider"
    wanted = config.gate.public_key or config.nodeos.producer_key or ""
    if unseen := unseen_options(name, facts):
        return unseen
    expected = f"{wanted}=KEOSD:{config.gate.listen}{SIGN}"
    signers = (each.split("=", 1) for each in facts.options.values.get("signers", ()))
    ways = [way for key, way in signers if _same(key, wanted)]
    if "KEY" in ways:
        remedy = f"replace it with signature-provider = {expected}"
        return fault(name, "nodeos has the private key itself, so a closed gate stops nothing", remedy)
    if not ways:
        return fault(name, "no signature-provider for the key of the gate", f"set signature-provider = {expected}")
    if any(way != f"KEOSD:{config.gate.listen}{SIGN}" for way in ways):
        return fault(name, f"nodeos asks {', '.join(ways)}, past the gate", f"set signature-provider = {expected}")
    return ok(name, f"nodeos asks {config.gate.listen}")


def _same(one: str, other: str) -> bool:
    try:
        return settings.key(one) == settings.key(other)
    except ValueError:
        return False


def timeout(facts: NodeosFacts) -> Finding:
    """See that nodeos waits long enough for a signature on a busy host."""
    name, remedy = "gate_provider_timeout", f"set keosd-provider-timeout = {PROVIDER_TIMEOUT_MS} in config.ini"
    if unseen := unseen_options(name, facts):
        return unseen
    found = facts.options.number("keosd-provider-timeout", DEFAULT_TIMEOUT_MS)
    if found < PROVIDER_TIMEOUT_MS:
        seen = f"keosd-provider-timeout is {found} ms: a busy host takes longer, and loses the block"
        return warn(name, seen, remedy)
    return ok(name, f"keosd-provider-timeout is {found} ms")
