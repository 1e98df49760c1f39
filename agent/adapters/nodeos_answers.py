"""Reading what nodeos answers, strictly, across its versions. Bytes in, data or NodeosAnswer out; nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from agent.core.chain import Block, ChainInfo, Peers, Producer, Schedule
from agent.core.store import Ms
from agent.errors import NodeosAnswer

REMEDIES = {
    404: "not there: add plugin = eosio::{plugin} to config.ini (and its category to http-category-address)",
    400: "not accepted: if it says 'host', set http-validate-host = false or name our URL in http-alias",
    401: "not allowed: let the agent reach it without a password",
    429: "busy: raise http-max-bytes-in-flight-mb, or ask it less",
    503: "busy: raise http-max-bytes-in-flight-mb, or ask it less",
}


def error_of(status: int, path: str, body: bytes) -> NodeosAnswer:
    """Return an error answer as an exception: nodeos's own words, and the remedy."""
    code, words = 0, body[:200].decode(errors="replace")
    try:
        error = json.loads(body)["error"]
        code = int(error["code"])
        details = [str(each["message"]) for each in error.get("details", [])[:2]]
        words = "; ".join([str(error.get("what", "")), *details])
    except (ValueError, KeyError, TypeError):
        pass  # not nodeos's form: what was sent is shown as it is
    plugin = {"producer": "producer_api_plugin", "net": "net_api_plugin"}.get(path.split("/")[2], "chain_api_plugin")
    remedy = REMEDIES.get(status, "see its log").format(plugin=plugin)
    return NodeosAnswer(status, code, f"nodeos answers {path} with {status} ({words[:300]}): {remedy}")


def _bad(what: str) -> NodeosAnswer:
    return NodeosAnswer(200, 0, f"nodeos answers with something else than expected: {what}")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _bad("not JSON") from error


def _field(value: Any, name: str, kind: type) -> Any:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, kind) or isinstance(found, bool):
        raise _bad(f"{name} is missing or no {kind.__name__}")
    return found


def _time(text: str) -> Ms:
    """Read nodeos's time, which is UTC and says no zone, as milliseconds since 1970."""
    try:
        return round(datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError as error:
        raise _bad(f"{text[:40]!r} is no time") from error


def read_flag(body: bytes) -> bool:
    """Read a bare true or false."""
    value = _json(body)
    if not isinstance(value, bool):
        raise _bad("neither true nor false")
    return value


def read_info(body: bytes) -> ChainInfo:
    """Read get_info. The time of LIB is told from EOSIO 2.1 on, the long version string from Leap on."""
    value = _json(body)
    lib_time = value.get("last_irreversible_block_time") if isinstance(value, dict) else None
    return ChainInfo(
        chain_id=_field(value, "chain_id", str),
        server_version=str(value.get("server_version_string") or value.get("server_version") or "")[:100],
        head_num=_field(value, "head_block_num", int),
        head_id=_field(value, "head_block_id", str),
        head_time=_time(_field(value, "head_block_time", str)),
        head_producer=_field(value, "head_block_producer", str),
        lib_num=_field(value, "last_irreversible_block_num", int),
        lib_time=_time(lib_time) if isinstance(lib_time, str) else None,
    )


def read_peers(body: bytes) -> Peers:
    """Read connections. One counts as connected once a handshake came: a dead peer stays listed for a while."""
    value = _json(body)
    if not isinstance(value, list):
        raise _bad("connections are no list")
    connected = sum(
        1
        for each in value
        if isinstance(each, dict)
        and isinstance(each.get("last_handshake"), dict)
        and each["last_handshake"].get("network_version", 0)
        and each.get("is_socket_open", True)
        and not each.get("connecting", False)
    )
    return Peers(len(value), connected)


def read_schedule(body: bytes) -> Schedule:
    """Read the active schedule; a producer has one key (`block_signing_key`) or an authority of several."""
    active = _field(_json(body), "active", dict)
    producers = tuple(
        Producer(_field(each, "producer_name", str), _keys(each)) for each in _field(active, "producers", list)
    )
    return Schedule(_field(active, "version", int), producers)


def _keys(entry: dict[str, Any]) -> tuple[str, ...]:
    if isinstance(entry.get("block_signing_key"), str):
        return (entry["block_signing_key"],)
    authority = entry.get("authority")
    if not isinstance(authority, list) or len(authority) != 2 or not isinstance(authority[1], dict):
        raise _bad("a producer has neither block_signing_key nor authority")
    return tuple(str(_field(each, "key", str)) for each in _field(authority[1], "keys", list))


def read_block(body: bytes) -> Block:
    """Read a block's header."""
    value = _json(body)
    return Block(
        _field(value, "block_num", int),
        _field(value, "id", str),
        _time(_field(value, "timestamp", str)),
        _field(value, "producer", str),
    )
