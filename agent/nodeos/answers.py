"""Reading what nodeos answers, strictly, across its versions. Bytes in, data or NodeosAnswer out; nothing else."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from agent.core.model.chain import ChainInfo, Header, Peers, Producer, Schedule
from agent.core.model.fields import shown
from agent.core.model.finality import Finality, Finalizer
from agent.core.model.store import Ms
from agent.errors import NodeosAnswer
from agent.net.http import Answer

PLUGINS = {"producer": "producer_api_plugin", "net": "net_api_plugin"}
"""The plugin that serves each kind of path; all else is chain_api_plugin's."""
REMEDIES = {
    401: "not allowed: let the agent reach it without a password",
    403: "not allowed: let the agent reach it without a password",
    404: "add plugin = eosio::{plugin} to config.ini; from Leap 5 on, see that this listener serves it, too",
    429: "it is busy: ask it less, or raise http-max-bytes-in-flight-mb",
    503: "it is busy: ask it less, or raise http-max-bytes-in-flight-mb",
}
HOST_REMEDY = "it does not take our Host header: set http-validate-host = false, or name our URL's host in http-alias"
_ID = re.compile("[0-9a-f]{64}")
SHOWN = 300
"""Characters of a foreign text that an error repeats."""


def error_of(answer: Answer, path: str) -> NodeosAnswer:
    """Return an error answer as an exception: nodeos's own words, and the remedy."""
    code, words = _words(answer.body)
    remedy = REMEDIES.get(answer.status, "see its log").format(
        plugin=PLUGINS.get(path.split("/")[2], "chain_api_plugin")
    )
    if answer.status == 400 and (not answer.body or "host" in words.lower()):
        remedy = HOST_REMEDY
    said = f" ({words})" if words else ""
    return NodeosAnswer(answer.status, code, f"nodeos answers {path} with {answer.status}{said}: {remedy}")


def _words(body: bytes) -> tuple[int, str]:
    """Return nodeos's error code and text; what is not in its form is shown as it is."""
    try:
        value = json.loads(body)
        error = value["error"]
        code = error["code"] if isinstance(error["code"], int) else 0
        details = [str(each["message"]) for each in list(error.get("details", ()))[:2]]
        texts = [str(error.get("what", "")) or str(value.get("message", "")), *details]
        return code, _shown("; ".join(text for text in texts if text))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return 0, _shown(body[: 4 * SHOWN].decode(errors="replace"))


def _shown(text: str) -> str:
    """Return a foreign text as one short line."""
    return re.sub(r"[^\x20-\x7e]+", " ", text)[:SHOWN].strip()


def _bad(what: str) -> NodeosAnswer:
    return NodeosAnswer(200, 0, f"nodeos answers something else than expected, is it nodeos? {what}")


def parsed(answer: Answer) -> Any:
    """Return the JSON of an answer."""
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise _bad("not JSON: " + _shown(answer.body[:60].decode(errors="replace"))) from error


def a_field(value: Any, name: str, kind: type) -> Any:
    """Return a field of an object, which must be there and of its kind."""
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, kind) or isinstance(found, bool) or (isinstance(found, int) and not 0 <= found < 1 << 63):
        raise _bad(f"{name} is missing or no {kind.__name__}")
    return found


def a_time(text: str) -> Ms:
    """Read nodeos's time, which is UTC and says no zone, as milliseconds since 1970."""
    try:
        return round(datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise _bad(f"{_shown(text[:40])!r} is no time") from error


def read_done(answer: Answer) -> None:
    """See that a command was done: whatever else answers 200 to everything must not count as a pause."""
    value = parsed(answer)
    if not isinstance(value, dict) or value.get("result") != "ok":
        raise _bad('no {"result":"ok"}')


def read_flag(answer: Answer) -> bool:
    """Read a bare true or false."""
    value = parsed(answer)
    if not isinstance(value, bool):
        raise _bad("neither true nor false")
    return value


def read_info(answer: Answer) -> ChainInfo:
    """Read get_info. The time of LIB is told from EOSIO 2.1 on, the long version string from Leap on."""
    value = parsed(answer)
    lib_time = value.get("last_irreversible_block_time") if isinstance(value, dict) else None
    return ChainInfo(
        chain_id=a_field(value, "chain_id", str),
        server_version=str(value.get("server_version_string") or value.get("server_version") or "")[:100],
        head_num=a_field(value, "head_block_num", int),
        head_id=a_field(value, "head_block_id", str),
        head_time=a_time(a_field(value, "head_block_time", str)),
        head_producer=a_field(value, "head_block_producer", str),
        lib_num=a_field(value, "last_irreversible_block_num", int),
        lib_time=a_time(lib_time) if isinstance(lib_time, str) else None,
    )


def read_peers(answer: Answer) -> Peers:
    """Read connections. One counts as connected once a handshake came: a dead peer stays listed for a while."""
    value = parsed(answer)
    if not isinstance(value, list):
        raise _bad("connections are no list")
    hands = [each for each in value if isinstance(each, dict) and _shook_hands(each)]
    libs = {lib for each in hands if (lib := _lib_of(each["last_handshake"]))}
    return Peers(len(value), len(hands), tuple(sorted(libs)))


def _lib_of(handshake: dict[str, Any]) -> tuple[int, str] | None:
    num, block_id = handshake.get("last_irreversible_block_num"), handshake.get("last_irreversible_block_id")
    if isinstance(num, bool) or not isinstance(num, int) or num <= 0 or not isinstance(block_id, str):
        return None
    return (num, block_id) if _ID.fullmatch(block_id) else None


def _shook_hands(connection: dict[str, Any]) -> bool:
    handshake = connection.get("last_handshake")
    version = handshake.get("network_version") if isinstance(handshake, dict) else None
    open_ = connection.get("is_socket_open", True) is not False and connection.get("connecting") is not True
    return isinstance(version, int) and version > 0 and open_


def read_schedule(answer: Answer) -> Schedule:
    """Read the active schedule; a producer has one key (`block_signing_key`) or an authority of several."""
    active = a_field(parsed(answer), "active", dict)
    producers = tuple(
        Producer(a_field(each, "producer_name", str), _keys(each)) for each in a_field(active, "producers", list)
    )
    return Schedule(a_field(active, "version", int), producers)


def _keys(entry: dict[str, Any]) -> tuple[str, ...]:
    if isinstance(entry.get("block_signing_key"), str):
        return (entry["block_signing_key"],)
    authority = entry.get("authority")
    if not isinstance(authority, list) or len(authority) != 2 or not isinstance(authority[1], dict):
        raise _bad("a producer has neither block_signing_key nor authority")
    return tuple(str(a_field(each, "key", str)) for each in a_field(authority[1], "keys", list))


def read_block(answer: Answer) -> Header:
    """Read a block's header, from get_block_info or get_block."""
    value = parsed(answer)
    return Header(
        a_field(value, "block_num", int),
        a_field(value, "id", str),
        a_time(a_field(value, "timestamp", str)),
        a_field(value, "producer", str),
        a_field(value, "previous", str),
    )


MOST = 256
"""Finalizers of a policy, and votes, that are read: a chain has some twenty to a hundred."""
LONGEST = 250
"""Characters of a key or a description that are kept: anybody may register one, and people are shown them."""


def read_finality(answer: Answer) -> Finality:
    """Read the policies and the last votes; before Savanna both policies are null."""
    value = parsed(answer)
    votes = a_field(value, "last_tracked_votes", list)[:MOST]
    voted = {_text(each, "public_key"): a_time(a_field(each, "voted_for_block_timestamp", str)) for each in votes}
    return Finality(_policy(value, "active_finalizer_policy"), _policy(value, "pending_finalizer_policy"), voted)


def _policy(value: Any, name: str) -> tuple[Finalizer, ...]:
    if value.get(name) is None:
        return ()
    found = a_field(a_field(value, name, dict), "finalizers", list)[:MOST]
    return tuple(Finalizer(_text(each, "description"), _text(each, "public_key")) for each in found)


def _text(value: Any, name: str) -> str:
    return shown(a_field(value, name, str), LONGEST)
