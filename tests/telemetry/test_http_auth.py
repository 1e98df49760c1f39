"""Who may read over HTTP: a token for all that says more than yes or no, and TLS."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.cli.status import livez
from agent.config.load import load
from agent.config.show import as_toml
from agent.errors import ConfigError
from agent.runtime.credentials import access
from agent.telemetry.http_auth import ANYBODY, AccessPolicy, server_context
from agent.telemetry.http_server import HttpServer
from tests.doctor.parts import config
from tests.lab.tls import Certificates, make_certificates
from tests.support.pages import FakePages

Serve = Callable[["AccessPolicy | Callable[[], AccessPolicy]"], int]
TOKEN = "a-token-of-the-test-0123456789"
HOST = "127.0.0.1"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers; return their ports."""
    servers: list[HttpServer] = []

    def start(policy: AccessPolicy | Callable[[], AccessPolicy]) -> int:
        asked = policy if callable(policy) else lambda: policy
        servers.append(HttpServer((HOST, 0), FakePages(), asked))
        servers[-1].start()
        return servers[-1].address[1]

    yield start
    for server in servers:
        server.close()


def ask(port: int, path: str, authorization: str = "", context: ssl.SSLContext | None = None) -> tuple[int, str]:
    """Return the status of an answer, and how it asks for a token."""
    if context is None:
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
    else:
        connection = http.client.HTTPSConnection(HOST, port, timeout=5, context=context)
    try:
        connection.request("GET", path, headers={"Authorization": authorization} if authorization else {})
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("WWW-Authenticate", "")
    finally:
        connection.close()


def basic(password: str) -> str:
    """Return what a browser sends."""
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


def test_a_policy_admits_by_page_and_token() -> None:
    """The whole token, as a bearer or as a password; what is open needs none, and without a token all is open."""
    policy = AccessPolicy(TOKEN)
    assert policy.admits("status", f"Bearer {TOKEN}")
    assert policy.admits("status", basic(TOKEN))
    assert not any(policy.admits("status", wrong) for wrong in ("", f"Bearer {TOKEN}x", basic("x"), f"Basic {TOKEN}"))
    assert policy.admits("live", "")
    assert ANYBODY.admits("status", "")


@pytest.mark.parametrize("path", ["/metrics", "/status", "/"])
def test_token_is_asked_for(serve: Serve, path: str) -> None:
    """Metrics, status and the page are for those who show the token, as a bearer or as a browser's password."""
    port = serve(AccessPolicy(TOKEN))
    assert ask(port, path, f"Bearer {TOKEN}")[0] == 200
    assert ask(port, path, basic(TOKEN))[0] == 200
    for wrong in ("", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", basic("x"), "Basic !!!", f"Digest {TOKEN}"):
        code, challenge = ask(port, path, wrong)
        assert code == 401, wrong
        assert challenge.startswith("Basic ")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/leader"])
def test_probes_need_no_token(serve: Serve, path: str) -> None:
    """A yes or no is for everybody: no probe and no load balancer has to hold the token."""
    assert ask(serve(AccessPolicy(TOKEN)), path)[0] == 200


def test_without_a_token_anybody_reads(serve: Serve) -> None:
    """On loopback, the default, nothing has to be shown."""
    assert ask(serve(ANYBODY), "/status")[0] == 200


def test_tls_by_our_certificate(serve: Serve, certificates: Certificates) -> None:
    """With a certificate clients that know the CA are served, and others turn away; plain text gets nothing."""
    port = serve(AccessPolicy(None, server_context(certificates.server, certificates.server_key)))
    knows = ssl.create_default_context(cafile=str(certificates.ca))
    assert ask(port, "/status", context=knows)[0] == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(port, "/status", context=ssl.create_default_context())
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(port, "/status")
    assert livez(HOST, port, 5.0, tls=True) == (True, "last step 0.1 s ago")


def test_a_silent_handshake_holds_nobody_up(serve: Serve, certificates: Certificates) -> None:
    """Clients that connect and never shake hands keep no other one out."""
    port = serve(AccessPolicy(None, server_context(certificates.server, certificates.server_key)))
    silent = [socket.create_connection((HOST, port), 5.0) for _ in range(40)]
    try:
        knows = ssl.create_default_context(cafile=str(certificates.ca))
        assert ask(port, "/livez", context=knows)[0] == 200
    finally:
        for each in silent:
            each.close()


def shown(port: int) -> bytes:
    """Return the certificate that a new connection is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((HOST, port), 5.0) as plain, context.wrap_socket(plain) as sock:
        return sock.getpeercert(binary_form=True) or b""


def test_renewed_certificate_and_token_are_taken_up(serve: Serve, tmp_path: Path) -> None:
    """What certbot or an operator replaces is served from the next connection on, without a word to the agent."""
    old, new = make_certificates(tmp_path / "old"), make_certificates(tmp_path / "new")
    pair, token = (tmp_path / "tls.crt", tmp_path / "tls.key"), tmp_path / "token"
    for path, text in zip((*pair, token), (old.server.read_text(), old.server_key.read_text(), TOKEN), strict=True):
        path.touch(0o600)
        path.write_text(text)
    http = {"token_file": str(token), "token": TOKEN, "cert_file": str(pair[0]), "key_file": str(pair[1])}
    port = serve(access(config(http=http)))
    assert shown(port) == ssl.PEM_cert_to_DER_cert(old.server.read_text())
    pair[0].write_text(new.server.read_text())
    assert shown(port) == ssl.PEM_cert_to_DER_cert(old.server.read_text()), "the key is missing yet: the old pair stays"
    pair[1].write_text(new.server_key.read_text())
    assert shown(port) == ssl.PEM_cert_to_DER_cert(new.server.read_text())
    token.write_text("x" + TOKEN)
    knows = ssl.create_default_context(cafile=str(new.ca))
    assert ask(port, "/status", f"Bearer {TOKEN}", knows)[0] == 401
    assert ask(port, "/status", f"Bearer x{TOKEN}", knows)[0] == 200
    token.write_text("short")
    assert ask(port, "/status", f"Bearer x{TOKEN}", knows)[0] == 200, "what cannot be a token changes nothing"


def test_bad_certificate_names_the_setting(tmp_path: Path) -> None:
    """A file that is no certificate is an error that names both settings."""
    path = tmp_path / "no.pem"
    path.write_text("no")
    with pytest.raises(ConfigError, match=r"http\.cert_file .*http\.key_file"):
        server_context(path, path)


def configuration(tmp_path: Path, http: str) -> Path:
    """Write a configuration with these lines in [http]."""
    path = tmp_path / "config.toml"
    path.write_text(f"""group = "g"
node = "bp-a"
producer = "myproducer11"
nodeos.url = "http://127.0.0.1:8888"
etcd.endpoints = ["http://127.0.0.1:2379"]
[http]
{http}
""")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "http",
    [
        'listen = "127.0.0.1:9877"',
        'listen = "[::1]:9877"',
        'listen = "localhost:9877"',
        'listen = ""',
        'listen = "0.0.0.0:9877"\npublic = true',
        f'listen = "0.0.0.0:9877"\ntoken = "{TOKEN}"',
    ],
)
def test_who_may_be_reached(tmp_path: Path, http: str) -> None:
    """Loopback needs nothing; what others reach needs a token, TLS, or a word that it is meant."""
    load(configuration(tmp_path, http), {})


@pytest.mark.parametrize(
    ("http", "said"),
    [
        ('listen = "0.0.0.0:9877"', "http.listen"),
        ('listen = "10.0.0.1:9877"', "http.token_file"),
        ('listen = "[::]:9877"', "http.public"),
        ('token = "short"', "http.token"),
        ('cert_file = "/etc/hostname"', "http.key_file"),
    ],
)
def test_what_is_refused(tmp_path: Path, http: str, said: str) -> None:
    """An open door by mistake is refused, and the error names the setting and the remedies."""
    with pytest.raises(ConfigError) as refused:
        load(configuration(tmp_path, http), {})
    assert said in str(refused.value)
    assert "short" not in str(refused.value).replace("too short", "")


def test_token_comes_from_a_file_and_is_never_shown(tmp_path: Path) -> None:
    """The token is read from a file or a credential, and masked wherever the configuration is shown."""
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    config = load(configuration(tmp_path, f'listen = "0.0.0.0:9877"\ntoken_file = "{file}"'), {})
    assert config.http.token is not None
    assert config.http.token.get_secret_value() == TOKEN
    assert TOKEN not in as_toml(config) + repr(config) + repr(AccessPolicy(TOKEN))
