"""Until when a certificate is good: bytes in, a time out. The standard library reads it of no file but a peer's."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

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
