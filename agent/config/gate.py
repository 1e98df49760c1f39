"""[gate]: the process between nodeos and keosd that signs only while this node may lead.

The gate itself reads these settings by `agent.gate.settings`, where single values are checked, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

from agent.config.base import AbsolutePath, Optional
from agent.config.section import Field, Section
from agent.gate import settings


def _key(text: str) -> str:
    settings.key(text)
    return text


def _address(text: str) -> str:
    settings.address(text)
    return text


def _port(text: str) -> str:
    settings.port(text)
    return text


def _socket(path: Path) -> Path:
    settings.socket_path(str(path))
    return path


class GateSection(Section):
    """[gate]: the signing gate."""

    mode: Literal["off", "on", "required"] = Field(
        default="off",
        description="off; on: a proven closing of the gate is a proven stop; required: no lead without signing by it",
    )
    public_key: Optional[Annotated[str, _key]] = Field(
        default=None, description="the only key that it signs with; default: nodeos.producer_key"
    )
    keosd: Annotated[str, _address] = Field(
        default=settings.KEOSD, description="where keosd listens: http://127.0.0.1:PORT or unix:///path"
    )
    listen: Annotated[str, _port] = Field(
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
        if self.mode == "off":
            return
        if not self.public_key and not producer_key:
            yield "gate.public_key is missing: name the key that blocks are signed with"
        yield from _twice(self.keosd, self.listen, f"unix://{self.control}")


def _twice(keosd: str, listen: str, control: str) -> list[str]:
    places = {"gate.keosd": keosd, "gate.listen": listen, "gate.control": control}
    return [
        f"{one} and {other} are the same address: give each its own"
        for one, other in combinations(places, 2)
        if settings.address(places[one]) == settings.address(places[other])
    ]
