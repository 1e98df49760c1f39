"""TLS over sockets that keep a total deadline, and until when a certificate is good.

A module of its own, because `ssl` costs start-up time. That itself tells the end of a peer's certificate alone, so the
end of one in a file is read here: bytes in, a time out.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from agent.errors import ConfigError
from agent.host.deadline import Bounded, DeadlineSocket
from agent.host.small_file import see_regular


class DeadlineTLSSocket(Bounded, ssl.SSLSocket):
    """A TLS stream that keeps the deadline of the socket below."""


def tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return a context that verifies name and certificate, against `ca_file` or the host's own authorities."""
    try:
        see_regular(ca_file)
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ValueError) as error:
        raise ConfigError([f"nodeos CA file {ca_file}: {error}; give a readable PEM file"]) from error
    context.sslsocket_class = DeadlineTLSSocket
    return context


def authorities(ca_file: Path | None = None) -> tuple[Path, ...]:
    """Return the files that a context with `ca_file`, or with the host's own authorities, is made of."""
    if ca_file is not None:
        return (ca_file,)
    host = ssl.get_default_verify_paths()
    return tuple(Path(each) for each in (host.cafile, host.capath) if each)


def wrap(plain: DeadlineSocket, context: ssl.SSLContext, host: str) -> DeadlineTLSSocket:
    """Shake hands within the deadline of `plain`. OSError (ssl.SSLError, TimeoutError) when it fails."""
    plain.settimeout(plain.deadline.left())  # taken over by the wrapped socket: OpenSSL's loop is bounded by it in all
    wrapped = context.wrap_socket(plain, server_hostname=host)
    assert isinstance(wrapped, DeadlineTLSSocket)
    wrapped.deadline = plain.deadline
    return wrapped


_SEQUENCE, _VERSION, _UTC, _GENERALIZED = 0x30, 0xA0, 0x17, 0x18  # tags of X.690, as RFC 5280 uses them
BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


class CertificateError(ValueError):
    """Not a certificate."""


def of_pem(text: str) -> list[datetime]:
    """Return when each certificate of a PEM file runs out. CertificateError when there is none, or one is broken."""
    found = []
    for part in text.split(BEGIN)[1:]:
        body, end, _ = part.partition(END)
        if not end:
            raise CertificateError("a certificate without an end")
        try:
            der = ssl.PEM_cert_to_DER_cert(f"{BEGIN}{body}{END}\n")
        except ValueError as error:
            raise CertificateError("a certificate that is not base64") from error
        found.append(not_after(der))
    if not found:
        raise CertificateError("no certificate in it")
    return found


def not_after(der: bytes) -> datetime:
    """Return when a certificate runs out: RFC 5280, section 4.1, the second time of `validity`."""
    try:
        _, certificate, _ = _element(der)
        _, body, _ = _element(certificate)
        tag, _, rest = _element(body)
        if tag == _VERSION:
            _, _, rest = _element(rest)  # the serial number
        _, _, rest = _element(rest)  # the algorithm
        _, _, rest = _element(rest)  # the issuer
        tag, validity, _ = _element(rest)
        if tag != _SEQUENCE:
            raise CertificateError("no validity where it should be")
        _, _, rest = _element(validity)
        tag, value, _ = _element(rest)
        return _time(tag, value.decode("ascii"))
    except (IndexError, UnicodeDecodeError) as error:
        raise CertificateError("it ends in the middle") from error


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Take the first element off: its tag, its content, and what follows."""
    tag, length, start = data[0], data[1], 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[2 : 2 + count])
        start = 2 + count
    if start + length > len(data):
        raise CertificateError("it ends in the middle")
    return tag, data[start : start + length], data[start + length :]


def _time(tag: int, text: str) -> datetime:
    form = {_UTC: "%y%m%d%H%M%SZ", _GENERALIZED: "%Y%m%d%H%M%SZ"}.get(tag)
    if form is None:
        raise CertificateError("a time in an unknown form")
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError as error:
        raise CertificateError("a time that is none") from error
