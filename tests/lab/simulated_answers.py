"""What a SIMULATED nodeos answers, in the shapes of the versions of nodeos. Pure: facts in, JSON values out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tests.lab import simulated_finality as finality
from tests.lab.simulated_chain import Block, SimulatedChain, time_of

PUBLIC_KEY = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV"  # of the well-known development pair
NETWORK_VERSION = 1212
PEER_GONE_MS = 3000
"""A node that has not been there for so long is no peer any more (nodeos: some seconds more)."""
PLUGINS = {"chain": "chain_api_plugin", "net": "net_api_plugin", "producer": "producer_api_plugin"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What differs between versions, as far as an agent may see it. `busy`: the status of an overloaded nodeos."""

    version: str
    busy: int = 503
    long_version: bool = True  # server_version_string, from Leap on
    lib_time: bool = True  # last_irreversible_block_time, from EOSIO 2.1 on
    authority: bool = True  # the schedule names authorities, not keys, from EOSIO 2.1 on
    bp_peer: bool = True  # from Leap 4 on
    socket_open: bool = True  # and where the peer is, from Leap 5 on
    block_info: bool = True  # get_block_info, from EOSIO 2.1 on
    finality: bool = False  # get_finalizer_info, pause_at_block, and get_info beside the main thread: Spring


_OLD = Shape("v3.1.5", 429, bp_peer=False, socket_open=False)
SHAPES = {
    "eosio-2.0": replace(
        _OLD, version="v2.0.13", long_version=False, lib_time=False, authority=False, block_info=False
    ),
    "leap-3.1": _OLD,
    "leap-4": Shape("v4.0.6", socket_open=False),
    "leap-5": Shape("v5.0.3"),
    "spring-1.3": Shape("v1.3.0", finality=True),
}


def time_text(ms: int) -> str:
    """Write a time as nodeos does: UTC, milliseconds, no zone."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")


def error(code: int, message: str, number: int = 0, what: str = "", detail: str = "") -> dict[str, Any]:
    """Return the body of an error answer."""
    details = [{"message": detail, "file": "simulated.py", "line_number": 1, "method": "simulated"}] if detail else []
    return {"code": code, "message": message, "error": {"code": number, "name": "", "what": what, "details": details}}


def info(chain: SimulatedChain, shape: Shape, head: Block) -> dict[str, Any]:
    """get_info."""
    lib = min(chain.irreversible(), head, key=lambda each: each.num)
    value: dict[str, Any] = {
        "server_version": "51301a7e",
        "chain_id": chain.chain_id,
        "head_block_num": head.num,
        "last_irreversible_block_num": lib.num,
        "last_irreversible_block_id": lib.id,
        "head_block_id": head.id,
        "head_block_time": time_text(head.time_ms),
        "head_block_producer": head.producer,
        "virtual_block_cpu_limit": 200_000_000,
        "virtual_block_net_limit": 1_048_576_000,
        "block_cpu_limit": 200_000,
        "block_net_limit": 1_048_576,
    }
    if shape.long_version:
        value |= {
            "server_version_string": f"{shape.version} (SIMULATED: there is no blockchain here)",
            "fork_db_head_block_num": head.num,
            "fork_db_head_block_id": head.id,
        }
    if shape.lib_time:
        value["last_irreversible_block_time"] = time_text(lib.time_ms)
    return value


def finalizer_info(chain: SimulatedChain) -> dict[str, Any]:
    """get_finalizer_info; a chain before Savanna has no policy."""
    active, pending = finality.policies(chain)
    counts = finality.keys(chain)
    votes = [
        {
            "description": counts[key],
            "public_key": key,
            "is_vote_strong": True,
            "finalizer_policy_generation": active.generation,
            "voted_for_block_num": num,
            "voted_for_block_timestamp": time_text(time_of(slot)),
        }
        for key, num, slot, _ in finality.votes(chain)
        if active is not None and key in counts
    ]
    found = {"active_finalizer_policy": active, "pending_finalizer_policy": pending}
    named = {name: policy.as_json() if policy else None for name, policy in found.items()}
    return {**named, "last_tracked_votes": sorted(votes, key=lambda each: str(each["description"]))}


def block(found: Block, before: Block | None) -> dict[str, Any]:
    """get_block."""
    return {
        "timestamp": time_text(found.time_ms),
        "producer": found.producer,
        "confirmed": 0,
        "previous": before.id if before else "0" * 64,
        "transactions": [],
        "id": found.id,
        "block_num": found.num,
        "ref_block_prefix": 0,
    }


def schedule(producers: Iterable[str], shape: Shape) -> dict[str, Any]:
    """get_producer_schedule."""

    def entry(name: str) -> dict[str, Any]:
        if not shape.authority:
            return {"producer_name": name, "block_signing_key": PUBLIC_KEY}
        return {
            "producer_name": name,
            "authority": [0, {"threshold": 1, "keys": [{"key": PUBLIC_KEY, "weight": 1}]}],
        }

    active = {"version": 1, "producers": [entry(name) for name in producers]}
    return {"active": active, "pending": None, "proposed": None}


def connections(others: Iterable[tuple[str, int]], shape: Shape, now_ms: int) -> list[dict[str, Any]]:
    """net/connections. `others`: address, and when that node was last there; one that never was shook no hands."""
    found = []
    for address, seen_ms in others:
        there = now_ms - seen_ms < PEER_GONE_MS
        value: dict[str, Any] = {"peer": address, "connecting": not there, "syncing": False}
        if shape.bp_peer:
            value["is_bp_peer"] = False
        if shape.socket_open:
            host, _, port = address.rpartition(":")
            value |= {"is_socket_open": there, "remote_ip": host, "remote_port": port}
        value["last_handshake"] = {"network_version": NETWORK_VERSION if there else 0, "p2p_address": address}
        found.append(value)
    return found
