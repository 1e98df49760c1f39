"""Good input gone bad: bytes and JSON trees, changed a little. Only hypothesis strategies live here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

ODD = [
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\r\n\r\n",
    b'"',
    b"[" * 40,
    b"{" * 40,
    b"1e999",
    b"-0",
    b"NaN",
    b"\x1b[2J",
]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(), max_size=12),
    st.sampled_from(["x" * 5000, "\ud800", "../../etc/passwd", "$(reboot)", "<script>"]),
    st.builds(list),
    st.builds(lambda: {"a": [[[{}]]]}),
)


@st.composite
def broken_bytes(draw: st.DrawFn, examples: list[bytes]) -> bytes:
    """Return an example with up to four places cut, doubled or overwritten."""
    data = bytearray(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        span = draw(st.integers(0, 30))
        new = draw(st.sampled_from(ODD) | st.binary(max_size=8) | st.just(bytes(data[at : at + span])))
        data[at : at + draw(st.integers(0, span))] = new
    return bytes(data[:200_000])


@st.composite
def broken_json(draw: st.DrawFn, examples: list[bytes]) -> bytes:
    """Return an example, which is JSON, with up to three values replaced, removed or added anywhere in its tree."""
    tree: Any = json.loads(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(0, 3))):
        holders = list(_holders(tree))
        if not holders:
            return json.dumps(draw(VALUES)).encode()
        holder = draw(st.sampled_from(range(len(holders))))
        found, key = holders[holder]
        what = draw(st.sampled_from(("replace", "remove", "add")))
        if what == "replace":
            found[key] = draw(VALUES)
        elif what == "remove":
            del found[key]
        elif isinstance(found, dict):
            found[draw(st.text(max_size=5))] = draw(VALUES)
        else:
            found.append(draw(VALUES))
    return json.dumps(tree).encode()


def _holders(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in a tree: its dict or list, and the key or index."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _holders(tree[key])
