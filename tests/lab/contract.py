"""A system contract of one action, assembled here: it hands the action's data to one function of nodeos as they are.

A chain needs a contract for a schedule, a protocol feature and a policy of finalizers, because only privileged code may
propose them. Each contract is WebAssembly of some 150 bytes: what nodeos's function reads has the form of the action's
data. Every other action is accepted and does nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ALPHABET = ".12345abcdefghijklmnopqrstuvwxyz"
I32, I64 = b"\x7f", b"\x7e"
BUFFER = 16
"""Where in the contract's memory the action's data go; the start of the memory is kept for null pointers."""
WHERE, SIZE, FORMAT = "where", "size", "format"
"""What a function of nodeos is given: where the data are, how many bytes, and the number of their format (0)."""

Fields = Mapping[str, str]


@dataclass(frozen=True)
class Contract:
    """An action, nodeos's function and what that is given; `fields` of the action by type, and the types of these."""

    action: str
    function: str
    given: tuple[str, ...]
    fields: Fields
    types: Mapping[str, Fields]
    answers: bool = False  # whether the function returns a number, which nobody needs

    @property
    def abi(self) -> dict[str, object]:
        """The form of the action's data, for cleos."""
        structs = {**self.types, self.action: self.fields}
        return {
            "version": "eosio::abi/1.1",
            "structs": [
                {"name": name, "base": "", "fields": [{"name": each, "type": kind} for each, kind in fields.items()]}
                for name, fields in structs.items()
            ],
            "actions": [{"name": self.action, "type": self.action, "ricardian_contract": ""}],
        }


SCHEDULE = Contract(
    "setprods",
    "set_proposed_producers",
    (WHERE, SIZE),
    {"schedule": "producer_key[]"},
    {"producer_key": {"producer_name": "name", "block_signing_key": "public_key"}},
    answers=True,
)
FEATURE = Contract("activate", "preactivate_feature", (WHERE,), {"feature_digest": "checksum256"}, {})
FINALIZERS = Contract(
    "setfinalizer",
    "set_finalizers",
    (FORMAT, WHERE, SIZE),
    {"threshold": "uint64", "finalizers": "finalizer[]"},
    {"finalizer": {"description": "string", "weight": "uint64", "public_key": "bytes"}},
)


def write_contract(contract: Contract, directory: Path) -> None:
    """Write ACTION.wasm and ACTION.abi into a directory, as `cleos set contract` wants them."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{contract.action}.wasm").write_bytes(assemble(contract))
    (directory / f"{contract.action}.abi").write_text(json.dumps(contract.abi))


def name_value(text: str) -> int:
    """Return an account's or action's name (at most 12 characters) as the number that nodeos knows it by."""
    value = 0
    for character in text.ljust(12, "."):
        value = value << 5 | ALPHABET.index(character)
    return value << 4


def assemble(contract: Contract) -> bytes:
    """Return the contract as a WebAssembly module."""
    given = [I64 if each == FORMAT else I32 for each in contract.given]
    types = [
        _function([], [I32]),
        _function([I32, I32], [I32]),
        _function(given, [I64] if contract.answers else []),
        _function([I64, I64, I64], []),
    ]
    host = ("action_data_size", "read_action_data", contract.function)  # the type of each is that of its place
    imports = [_text("env") + _text(name) + b"\x00" + _unsigned(place) for place, name in enumerate(host)]
    code = _vector([]) + _apply(contract)
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


def _apply(contract: Contract) -> bytes:
    """apply(receiver, code, action): if the action is the contract's, read its data and hand them on."""
    size, read, call = (b"\x10" + _unsigned(place) for place in range(3))  # call
    buffer = b"\x41" + _signed(BUFFER)  # i32.const
    number = name_value(contract.action)
    ours = b"\x20\x02" + b"\x42" + _signed(number - (number >> 63 << 64)) + b"\x51"  # local.get 2; i64.const; i64.eq
    drop, then, end = b"\x1a", b"\x04\x40", b"\x0b"
    values = {WHERE: buffer, SIZE: size, FORMAT: b"\x42" + _signed(0)}
    handed = b"".join(values[each] for each in contract.given) + call + (drop if contract.answers else b"")
    return ours + then + buffer + size + read + drop + handed + end + end


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
