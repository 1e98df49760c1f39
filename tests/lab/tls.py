"""Certificates for a lab's etcd, made with the `openssl` command: a CA, one for servers, one for clients.

Only that may live here. They are for 127.0.0.1, for two days, and their keys never leave the lab's directory.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.lab.errors import LabUnavailable
from tests.lab.process import run

DAYS = "2"
LIMIT = 20.0  # seconds for one openssl command; a key on P-256 takes milliseconds
SERVER_EXTENSIONS = "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n"
CLIENT_EXTENSIONS = "extendedKeyUsage=clientAuth\n"


@dataclass(frozen=True)
class Certificates:
    """PEM files. etcd's own gateway shows the server's certificate as a client, so it serves for both."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def make_certificates(directory: Path) -> Certificates:
    """Make a CA and two certificates in `directory`. LabUnavailable without openssl, LabError when it fails."""
    directory.mkdir(parents=True, exist_ok=True)
    ca, ca_key = directory / "ca.crt", directory / "ca.key"
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl("req", "-x509", *new_key, "-keyout", ca_key, "-out", ca, "-days", DAYS, "-subj", "/CN=lab-ca")
    made: dict[str, tuple[Path, Path]] = {}
    for serial, (name, extensions) in enumerate({"server": SERVER_EXTENSIONS, "client": CLIENT_EXTENSIONS}.items(), 1):
        key, request, certificate = (directory / f"{name}.{kind}" for kind in ("key", "csr", "crt"))
        extension_file = directory / f"{name}.ext"
        extension_file.write_text(extensions)
        _openssl("req", "-new", *new_key, "-keyout", key, "-out", request, "-subj", f"/CN=lab-{name}")
        signer: list[str | Path] = ["-CA", ca, "-CAkey", ca_key, "-set_serial", str(serial), "-days", DAYS]
        _openssl("x509", "-req", "-in", request, *signer, "-extfile", extension_file, "-out", certificate)
        made[name] = (certificate, key)
    return Certificates(ca, *made["server"], *made["client"])


def _openssl(*arguments: str | Path) -> None:
    try:
        run(["openssl", *arguments], LIMIT, f"openssl {arguments[0]}")
    except FileNotFoundError as error:
        raise LabUnavailable("the command openssl is needed for an etcd with TLS: install it") from error
