"""What nodeos and its host report, as data."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.core.model.fields import Rule
from agent.core.model.store import Ms


@dataclass(frozen=True, slots=True)
class ChainInfo:
    """`/v1/chain/get_info`. Times are milliseconds since 1970 UTC; `lib_time` is None before EOSIO 2.1."""

    chain_id: str
    server_version: str
    head_num: int
    head_id: str
    head_time: Ms
    head_producer: str
    lib_num: int
    lib_time: Ms | None


@dataclass(frozen=True, slots=True)
class Peers:
    """`/v1/net/connections`: `configured` connections in all, `connected` of them with a finished handshake.

    `libs`: number and id of the irreversible blocks that peers named in their last handshakes; anybody may be a peer.
    """

    configured: int
    connected: int
    libs: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Producer:
    """One entry of a schedule: the account and the public keys that may sign for it."""

    name: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """`/v1/chain/get_producer_schedule`, the active one, in signing order."""

    version: int
    producers: tuple[Producer, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """The header of one block; `time` in milliseconds since 1970 UTC."""

    num: int
    id: str
    time: Ms
    producer: str = field(metadata=Rule(limit=13))


@dataclass(frozen=True, slots=True)
class Header:
    """The same of a block that is followed; `previous` is the id of the block before it, empty when it is not known."""

    num: int
    id: str
    time: Ms
    producer: str
    previous: str = ""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process for sure: a pid is used again, a pid with its start time (clock ticks since boot) is not."""

    pid: int
    start_ticks: int
