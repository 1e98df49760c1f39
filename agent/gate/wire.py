"""Requests and answers over HTTP/1.1 as data, bounded in every direction. No socket is touched here.

What is taken is less than HTTP allows: a length is given as Content-Length once or not at all, nothing is chunked, no
header is folded. nodeos and keosd write nothing else, and what two readers could understand differently is refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

SIGN = "/v1/wallet/sign_digest"
HEAD = 8 * 1024
"""Bytes of a head; nodeos sends about 150."""
ASKED = 1024
"""Bytes of a request's body; a digest and a key take about 130."""
ANSWERED = 64 * 1024
"""Bytes of an answer's body; a signature has about 105, an error with its story some thousand."""
_END = b"\r\n\r\n"
_REQUEST = re.compile(rb"([A-Z]{1,10}) ([!-~]{1,256}) HTTP/1\.([01])")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\r\n]*)?")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):[ \t]*([\t -~\x80-\xff]*)")
_LENGTH = re.compile(rb"[0-9]{1,6}")
_BODY = re.compile(rb'\s{0,8}\[\s{0,8}"([0-9a-fA-F]{64})"\s{0,8},\s{0,8}"([0-9A-Za-z_]{10,220})"\s{0,8}\]\s{0,8}')
_SIGNATURE = re.compile(rb'\s{0,8}"SIG_(?:K1|R1|WA)_[1-9A-HJ-NP-Za-km-z]{20,2000}"\s{0,8}')
_WORDS = {200: "OK", 201: "Created", 500: "Internal Server Error"}


class WireError(ValueError):
    """What came is no message that is taken. `reason` is the slug that counts it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `keep`: the connection may be used again."""

    method: str
    target: str
    body: bytes
    keep: bool


@dataclass(frozen=True, slots=True)
class KeosdAnswer:
    """One answer of keosd."""

    status: int
    body: bytes
    keep: bool


def take_request(buffer: bytearray) -> Request | None:
    """Take one request off the front; None while it is not whole. WireError for what can never be one."""
    head = _head(buffer)
    if head is None:
        return None
    found = _REQUEST.fullmatch(head[0])
    if not found:
        raise WireError("malformed")
    length, keep = _fields(head[1:], found[3] == b"1")
    if length is not None and length > ASKED:
        raise WireError("too_large")
    body = _body(buffer, length or 0)
    return None if body is None else Request(found[1].decode(), found[2].decode(), body, keep)


def take_answer(buffer: bytearray) -> KeosdAnswer | None:
    """Take one answer off the front; None while it is not whole. WireError for what can never be one."""
    head = _head(buffer)
    if head is None:
        return None
    found = _STATUS.fullmatch(head[0])
    if not found:
        raise WireError("keosd_malformed")
    length, keep = _fields(head[1:], found[1] == b"1")
    if length is None or length > ANSWERED:
        raise WireError("keosd_malformed")
    body = _body(buffer, length)
    return None if body is None else KeosdAnswer(int(found[2]), body, keep)


def _head(buffer: bytearray) -> list[bytes] | None:
    """Return the lines of the head, None while it is not whole. The buffer stays as it is."""
    end = buffer.find(_END, 0, HEAD)
    if end < 0:
        if len(buffer) >= HEAD:
            raise WireError("too_large")
        return None
    return bytes(buffer[:end]).split(b"\r\n")


def _fields(lines: list[bytes], keep: bool) -> tuple[int | None, bool]:
    """Return length and whether the connection stays, from the headers."""
    length: int | None = None
    for line in lines:
        found = _HEADER.fullmatch(line)
        if not found:
            raise WireError("malformed")
        name, value = found[1].lower(), found[2].strip()
        if name == b"transfer-encoding":
            raise WireError("malformed")
        if name == b"content-length":
            if length is not None or not _LENGTH.fullmatch(value):
                raise WireError("malformed")
            length = int(value)
        elif name == b"connection":
            word = value.lower()
            keep = word == b"keep-alive" or (keep and word != b"close")
    return length, keep


def _body(buffer: bytearray, length: int) -> bytes | None:
    """Take head and body off the front, None while the body is not whole."""
    start = buffer.index(_END) + len(_END)
    if len(buffer) < start + length:
        return None
    body = bytes(buffer[start : start + length])
    del buffer[: start + length]
    return body


def wanted(request: Request) -> tuple[str, str]:
    """Return digest and public key that a request asks a signature for. WireError for every other request."""
    if request.target != SIGN:
        raise WireError("path")
    if request.method != "POST":
        raise WireError("method")
    found = _BODY.fullmatch(request.body)
    if not found:
        raise WireError("body")
    return found[1].decode(), found[2].decode()


def is_signature(answer: KeosdAnswer) -> bool:
    """Tell whether keosd has signed: nothing else of what it says is handed on."""
    return answer.status in (200, 201) and _SIGNATURE.fullmatch(answer.body) is not None


def write_answer(status: int, body: bytes, keep: bool) -> bytes:
    """Return an answer to nodeos."""
    head = f"HTTP/1.1 {status} {_WORDS.get(status, 'Error')}\r\nContent-Type: application/json\r\n"
    return (
        f"{head}Content-Length: {len(body)}\r\nConnection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode() + body
    )


def write_refusal(reason: str, keep: bool) -> bytes:
    """Return a refusal. Status and form are those that nodeos shows in its log; of others it says "Bad Cast"."""
    what = f"the signing gate refused: {reason}"
    error = {"code": 0, "name": "signing_gate", "what": what, "details": [{"message": what, "file": "gate"}]}
    return write_answer(500, json.dumps({"code": 500, "message": what, "error": error}).encode(), keep)


def write_request(target: str, host: str, body: bytes) -> bytes:
    """Return a request to keosd. `host` is what it expects: its http-validate-host looks at it."""
    head = f"POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nConnection: keep-alive\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
