"""[gate]: the process between nodeos and keosd that signs only while this node may lead.

The gate itself reads no more of the configuration than it needs: its user need not see the files of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

from agent.config.base import AbsolutePath, Name, Optional, looked_at
from agent.config.section import Field, Section, relation
from agent.config.sections import RuntimeSection
from agent.gate import settings
from agent.gate.settings import Settings

_Key = Annotated[str, looked_at(settings.key)]


def _socket(path: Path) -> Path:
    settings.socket_path(str(path))
    return path


class GateSection(Section):
    """[gate]: the signing gate."""

    mode: Literal["off", "on", "required"] = Field(
        default="off",
        description="off; on: a proven closing of the gate is a proven stop; required: no lead without signing by it",
    )
    public_key: Optional[_Key] = Field(
        default=None, description="the only key that it signs with; default: nodeos.producer_key"
    )
    keosd: Annotated[str, looked_at(settings.address)] = Field(
        default=settings.KEOSD, description="where keosd listens: http://127.0.0.1:PORT or unix:///path"
    )
    listen: Annotated[str, looked_at(settings.port)] = Field(
        default=settings.LISTEN, description="where nodeos asks: http://127.0.0.1:PORT; asking a socket, nodeos hangs"
    )
    control: Annotated[AbsolutePath, _socket] = Field(
        default=Path(settings.CONTROL), description="socket on which the agent asks the gate"
    )
    wallet: Annotated[str, settings.wallet] = Field(default=settings.WALLET, description="name of the wallet in keosd")
    password_file: Optional[AbsolutePath] = Field(
        default=None,
        description="file with the wallet's password, read by the gate alone (credential: gate.password); "
        "without one somebody else unlocks it",
    )
    agent_user: str = Field(
        default="", description="user that the agent runs as, whose permits count; default: the gate's own"
    )
    nodeos_user: str = Field(
        default="",
        description="user that nodeos runs as, who alone may ask for signatures; default: whoever can connect",
    )

    def problems(self, producer_key: str | None) -> Iterator[str]:
        """Yield what is missing, or does not fit together."""
        if not self.public_key and not producer_key:
            yield "gate.public_key is missing: name the key that blocks are signed with"
        places = {"gate.keosd": self.keosd, "gate.listen": self.listen, "gate.control": f"unix://{self.control}"}
        for one, other in combinations(places, 2):
            if settings.address(places[one]) == settings.address(places[other]):
                yield f"{one} and {other} are the same address: give each its own"


class _Nodeos(Section, partial=True):
    producer_key: Optional[_Key] = None


class _GateView(Section, partial=True):
    """What a gate reads."""

    group: Name = Field(examples=["eos-mainnet"])
    node: Name = Field(examples=["bp-a"])
    nodeos: _Nodeos = _Nodeos()
    gate: GateSection = GateSection()
    runtime: RuntimeSection = RuntimeSection()

    @relation
    def _can_start(self) -> Iterator[str]:
        if self.gate.mode == "off":
            yield "gate.mode is off: set it to on or required before a gate is started"
        yield from self.gate.problems(self.nodeos.producer_key)

    @relation
    def _users_exist(self) -> Iterator[str]:
        for role in ("agent_user", "nodeos_user"):
            try:
                settings.user(getattr(self.gate, role))
            except ValueError as error:
                yield f"gate.{role}: {error}"


def read_gate(path: Path, environ: Mapping[str, str]) -> Settings:
    """Return what the gate is told by the file at `path` with `environ` over it. ConfigError has all that is wrong."""
    from agent.config.load import checked, tables

    data, _ = tables(path, environ)
    file, problems = _password_file(data, environ)
    view = checked(_GateView, data, environ, problems)
    gate = view.gate
    return Settings(
        view.group,
        view.node,
        settings.key(gate.public_key or view.nodeos.producer_key or ""),
        settings.address(gate.keosd),
        settings.port(gate.listen),
        str(gate.control),
        settings.page_path(view.runtime.dir, view.group, view.node),
        settings.user(gate.agent_user),
        settings.user(gate.nodeos_user) if gate.nodeos_user else None,
        gate.wallet,
        file,
    )


def _password_file(data: dict[str, Any], environ: Mapping[str, str]) -> tuple[Path | None, list[str]]:
    """Return the file with the wallet's password, and what is wrong with it: the one named, or systemd's credential.

    None: the gate does not unlock the wallet.
    """
    table, directory = data.get("gate"), environ.get("CREDENTIALS_DIRECTORY")
    given = table.get("password_file") if isinstance(table, dict) else None
    system = Path(directory, settings.CREDENTIAL) if directory else None
    path = Path(given) if given and isinstance(given, str) else system if system and system.exists() else None
    try:
        if path is not None:
            settings.password(path)
    except ValueError as error:
        return None, [f"gate.password_file: {error}"]
    return path, []
