"""Requests and answers as bytes: what is taken whole, what has to come yet, and what can never be one."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from agent.gate import settings
from agent.gate.settings import PASSWORD_BYTES, PATH_BYTES, Address
from agent.gate.wire import (
    ANSWERED,
    ASKED,
    HEAD,
    SIGN,
    KeosdAnswer,
    Request,
    WireError,
    is_signature,
    take_answer,
    take_request,
    wanted,
    write_answer,
    write_refusal,
    write_request,
)
from tests.lab.nodeos import PUBLIC_KEY
from tests.support.gate_bench import SIGNATURE

BODY = json.dumps(["ab" * 32, PUBLIC_KEY]).encode()


def request(head: str = "", body: bytes = b"xy", line: str = f"POST {SIGN} HTTP/1.1") -> bytes:
    """Return a request whose length is its first header."""
    more = f"{head}\r\n" if head else ""
    return f"{line}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def test_whole_messages_are_taken_off_the_front_one_by_one() -> None:
    """What follows stays; what is not whole yet changes nothing."""
    buffer = bytearray(request() + request(body=b"second")[:-1])
    assert take_request(buffer) == Request("POST", SIGN, b"xy", True)
    left = bytes(buffer)
    assert take_request(buffer) is None
    assert bytes(buffer) == left
    buffer += b"d"
    assert take_request(buffer) == Request("POST", SIGN, b"second", True)
    assert not buffer


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_what_is_not_whole_is_waited_for(cut: int) -> None:
    """Wherever the segments end."""
    whole = request()
    assert take_request(bytearray(whole[:-cut])) is None


@pytest.mark.parametrize(
    ("line", "head", "keep"),
    [
        ("GET / HTTP/1.1", "", True),
        ("GET / HTTP/1.0", "", False),
        ("GET / HTTP/1.1", "Connection: close", False),
        ("GET / HTTP/1.0", "Connection: Keep-Alive", True),
        ("GET / HTTP/1.1", "connection:  CLOSE ", False),
        ("GET / HTTP/1.1", "Connection: upgrade", True),
        ("GET / HTTP/1.0", "Connection: upgrade", False),
    ],
)
def test_a_connection_is_kept_as_http_says(line: str, head: str, keep: bool) -> None:
    """From HTTP/1.1 on unless it says close, before it only if it says keep-alive."""
    found = take_request(bytearray(request(head, line=line)))
    assert found is not None
    assert found.keep is keep
    answer = take_answer(bytearray(request(head, line=f"{line[-8:]} 201 Created")))
    assert answer == KeosdAnswer(201, b"xy", keep)


@pytest.mark.parametrize(
    "raw",
    [
        b"post / HTTP/1.1\r\n\r\n",
        b"POST  HTTP/1.1\r\n\r\n",
        b"POST / HTTP/2.0\r\n\r\n",
        b"POST / HTTP/1.1 x\r\n\r\n",
        b"POST / HTTP/1.1\r\nno header\r\n\r\n",
        b"POST / HTTP/1.1\r\n folded: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nA: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1234567\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(raw: bytes) -> None:
    """Before anything of it is acted upon."""
    with pytest.raises(WireError, match="malformed"):
        take_request(bytearray(raw))


def test_sizes_are_bounded_at_their_very_edges() -> None:
    """A head of 8 KiB and a body of 1 KiB are the most of a request; 64 KiB of an answer."""
    assert take_request(bytearray(request(body=b"x" * ASKED))) is not None
    with pytest.raises(WireError, match="too_large"):
        take_request(bytearray(request(body=b"x" * (ASKED + 1))))
    assert take_request(bytearray(b"x" * (HEAD - 1))) is None
    with pytest.raises(WireError, match="too_large"):
        take_request(bytearray(b"x" * HEAD))
    line = "HTTP/1.1 200 OK"
    assert take_answer(bytearray(request(body=b"x" * ANSWERED, line=line))) is not None
    with pytest.raises(WireError, match="keosd_malformed"):
        take_answer(bytearray(request(body=b"x" * (ANSWERED + 1), line=line)))


@pytest.mark.parametrize(
    "raw", [b"HTTP/1.1 201 Created\r\n\r\n", b"HTTP/1.1 099 X\r\n\r\n", b"201 Created\r\nContent-Length: 0\r\n\r\n"]
)
def test_an_answer_without_a_length_or_a_status_is_none(raw: bytes) -> None:
    """It could not be told where it ends, or what it says."""
    with pytest.raises(WireError, match="keosd_malformed"):
        take_answer(bytearray(raw))


def test_a_request_without_a_length_has_no_body() -> None:
    """As GET has none."""
    assert take_request(bytearray(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")) == Request("GET", "/x", b"", True)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (Request("POST", "/v1/wallet/unlock", BODY, True), "path"),
        (Request("GET", SIGN, BODY, True), "method"),
        (Request("POST", SIGN, BODY[:-1], True), "body"),
        (Request("POST", SIGN, BODY + b"x", True), "body"),
        (Request("POST", SIGN, BODY.replace(b"ab", b"xy", 1), True), "body"),
        (Request("POST", SIGN, BODY.replace(b"abab", b"ab", 1), True), "body"),
        (Request("POST", SIGN, b"[]", True), "body"),
    ],
)
def test_only_a_digest_and_a_key_are_asked_for(asked: Request, reason: str) -> None:
    """Every other request is refused for what it is."""
    with pytest.raises(WireError, match=reason):
        wanted(asked)


def test_digest_and_key_are_taken_as_they_stand() -> None:
    """With or without blanks between them."""
    for body in (BODY, BODY.replace(b" ", b""), b" [ " + BODY[1:-1] + b" ] "):
        assert wanted(Request("POST", SIGN, body, True)) == ("ab" * 32, PUBLIC_KEY)


@pytest.mark.parametrize(
    ("status", "body", "signed"),
    [
        (201, SIGNATURE, True),
        (200, b" " + SIGNATURE + b"\n", True),
        (202, SIGNATURE, False),
        (500, SIGNATURE, False),
        (201, SIGNATURE.strip(b'"'), False),
        (201, SIGNATURE + b"x", False),
        (201, b'"SIG_K1_"', False),
        (201, b'{"x":' + SIGNATURE + b"}", False),
    ],
)
def test_only_a_signature_is_handed_on(status: int, body: bytes, signed: bool) -> None:
    """Nothing else that keosd may say reaches nodeos."""
    assert is_signature(KeosdAnswer(status, body, True)) is signed


@pytest.mark.parametrize("keep", [True, False])
def test_what_is_written_can_be_read_again(keep: bool) -> None:
    """Length, status, and whether the connection stays."""
    assert take_answer(bytearray(write_answer(201, b'"x"', keep))) == KeosdAnswer(201, b'"x"', keep)
    refused = take_answer(bytearray(write_refusal("closed", keep)))
    assert refused is not None
    assert (refused.status, refused.keep) == (500, keep)
    words = json.loads(refused.body)
    assert words["message"] == words["error"]["what"] == words["error"]["details"][0]["message"]
    assert words["message"].endswith("refused: closed")
    assert words["code"] == 500
    raw = write_request(SIGN, "localhost", BODY)
    assert take_request(bytearray(raw)) == Request("POST", SIGN, BODY, True)
    assert b"\r\nHost: localhost\r\n" in raw


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b" \n", b"x" * (PASSWORD_BYTES + 1), b"\xff\xfe", b"two\nlines", b"a\0b"])
def test_a_file_without_a_password_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty, far too long, no text, or more than one line; nothing of it is repeated."""
    file = tmp_path / "password"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ValueError, match="holds no password") as caught:
        settings.password(file)
    assert "lines" not in str(caught.value)


def test_the_longest_password_is_taken_without_its_newline(tmp_path: Path) -> None:
    """At the very edge."""
    file = tmp_path / "password"
    file.write_bytes(b"p" * (PASSWORD_BYTES - 1) + b"\n")
    file.chmod(0o640)
    assert settings.password(file) == "p" * (PASSWORD_BYTES - 1)


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o666])
def test_a_password_for_everybody_is_refused(tmp_path: Path, mode: int) -> None:
    """With the command that mends it."""
    file = tmp_path / "password"
    file.write_text("secret")
    file.chmod(mode)
    with pytest.raises(ValueError, match="chmod 0600"):
        settings.password(file)


@pytest.mark.usefixtures("no_leaks")
def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A directory, a pipe that nobody writes to, or nothing: told at once, whenever it takes the file's place."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name, why in (("", "not a regular file"), ("pipe", "not a regular file"), ("none", "No such file")):
        with pytest.raises(ValueError, match=why):
            settings.password(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("http://127.0.0.1:1", Address(host="127.0.0.1", port=1)),
        ("http://127.9.9.9:65535/", Address(host="127.9.9.9", port=65535)),
        ("http://[::1]:80", Address(host="::1", port=80)),
        ("unix:///a/b", Address(path="/a/b")),
    ],
)
def test_addresses_of_this_host_are_taken(text: str, found: Address) -> None:
    """Loopback alone, and a path; each is written again as it was."""
    assert settings.address(text) == found
    assert found.text == text.rstrip("/")
    assert found.place == (found.path or (found.host, found.port))
    families = {"unix": socket.AF_UNIX, "http://[": socket.AF_INET6, "http://1": socket.AF_INET}
    assert [found.family] == [family for start, family in families.items() if text.startswith(start)]


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://128.0.0.1:80",
        "http://126.0.0.1:80",
        "http://[::2]:80",
        "http://[::]:80",
        "http://localhost:80",
        "https://127.0.0.1:80",
        "unix://a",
        "unix:////a",
        "unix:///a b",
        f"unix:///{'x' * PATH_BYTES}",
    ],
)
def test_any_other_address_is_refused(text: str) -> None:
    """Requests to sign must not leave the host, and a port is between 1 and 65535."""
    with pytest.raises(ValueError, match=r"\w"):
        settings.address(text)


def test_a_path_is_bounded_at_its_very_edge() -> None:
    """107 bytes, whatever the letters."""
    assert settings.socket_path("/" + "x" * (PATH_BYTES - 1))
    for wrong in ("/" + "x" * PATH_BYTES, "/" + "é" * (PATH_BYTES // 2 + 1), "x", "/a\0b"):
        with pytest.raises(ValueError, match="cannot be a socket"):
            settings.socket_path(wrong)


def test_a_user_is_a_number_or_a_name() -> None:
    """An empty text is ours."""
    assert settings.user("") == os.geteuid()
    assert settings.user("0") == settings.user("root") == 0
    assert settings.user("61234") == 61234
    with pytest.raises(ValueError, match="no user of this host"):
        settings.user("nobody-has-this-name")


def test_both_forms_of_a_key_are_one() -> None:
    """Its curve and bytes count, not how it is written; a digit less is none."""
    curve, raw = settings.key(PUBLIC_KEY)
    assert (curve, len(raw)) == ("K1", 33)
    assert settings.key(PUBLIC_KEY.replace("EOS", "PUB_K1_"))[1] == raw
    assert settings.key(PUBLIC_KEY.replace("EOS", "PUB_R1_"))[0] == "R1"
    for wrong in ("", PUBLIC_KEY[:40], PUBLIC_KEY + "0", PUBLIC_KEY.replace("EOS", "FOO")):
        with pytest.raises(ValueError, match="no public key"):
            settings.key(wrong)
