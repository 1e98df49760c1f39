"""A system contract of one action, `setprods`, assembled here: it hands a schedule to nodeos. Only that lives here.

A chain needs a contract for this, because only privileged code may propose producers. The contract is WebAssembly of
some 150 bytes, which reads the action's data and passes them to the host's `set_proposed_producers` as they are: both
are a list of (producer, key). Every other action is accepted and does nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

ACTION = "setprods"
ALPHABET = ".12345abcdefghijklmnopqrstuvwxyz"
I32, I64 = b"\x7f", b"\x7e"
BUFFER = 16
"""Where in the contract's memory the action's data go; the start of the memory is kept for null pointers."""

ABI = {
    "version": "eosio::abi/1.1",
    "structs": [
        {
            "name": "producer_key",
            "base": "",
            "fields": [
                {"name": "producer_name", "type": "name"},
                {"name": "block_signing_key", "type": "public_key"},
            ],
        },
        {"name": ACTION, "base": "", "fields": [{"name": "schedule", "type": "producer_key[]"}]},
    ],
    "actions": [{"name": ACTION, "type": ACTION, "ricardian_contract": ""}],
}


def write_contract(directory: Path) -> None:
    """Write `setprods.wasm` and `setprods.abi` into a directory, as `cleos set contract` wants them."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{ACTION}.wasm").write_bytes(assemble())
    (directory / f"{ACTION}.abi").write_text(json.dumps(ABI))


def name_value(text: str) -> int:
    """Return an account's or action's name (at most 12 characters) as the number that nodeos knows it by."""
    value = 0
    for character in text.ljust(12, "."):
        value = value << 5 | ALPHABET.index(character)
    return value << 4


def assemble() -> bytes:
    """Return the contract as a WebAssembly module."""
    types = [
        _function([], [I32]),
        _function([I32, I32], [I32]),
        _function([I32, I32], [I64]),
        _function([I64, I64, I64], []),
    ]
    host = ("action_data_size", "read_action_data", "set_proposed_producers")  # the type of each is that of its place
    imports = [_text("env") + _text(name) + b"\x00" + _unsigned(place) for place, name in enumerate(host)]
    code = _vector([]) + _apply()
    sections = {
        1: _vector(types),
        2: _vector(imports),
        3: _vector([_unsigned(3)]),  # one function of our own, of the fourth type
        5: _vector([b"\x00\x01"]),  # one memory of one page
        7: _vector([_text("apply") + b"\x00" + _unsigned(len(host))]),
        10: _vector([_unsigned(len(code)) + code]),
    }
    module = b"".join(bytes([number]) + _unsigned(len(body)) + body for number, body in sections.items())
    return b"\x00asm\x01\x00\x00\x00" + module


def _apply() -> bytes:
    """apply(receiver, code, action): if the action is `setprods`, read its data and propose them."""
    size, read, propose = (b"\x10" + _unsigned(place) for place in range(3))  # call
    buffer = b"\x41" + _signed(BUFFER)  # i32.const
    number = name_value(ACTION)
    ours = b"\x20\x02" + b"\x42" + _signed(number - (number >> 63 << 64)) + b"\x51"  # local.get 2; i64.const; i64.eq
    drop, then, end = b"\x1a", b"\x04\x40", b"\x0b"
    return ours + then + buffer + size + read + drop + buffer + size + propose + drop + end + end


def _function(parameters: Iterable[bytes], results: Iterable[bytes]) -> bytes:
    return b"\x60" + _vector(parameters) + _vector(results)


def _vector(items: Iterable[bytes]) -> bytes:
    found = list(items)
    return _unsigned(len(found)) + b"".join(found)


def _text(text: str) -> bytes:
    return _vector([bytes([each]) for each in text.encode()])


def _unsigned(number: int) -> bytes:
    """LEB128 of a number that is not negative."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _signed(number: int) -> bytes:
    """LEB128 of a number of either sign."""
    out = bytearray()
    while not -64 <= number < 64:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number & 127])
