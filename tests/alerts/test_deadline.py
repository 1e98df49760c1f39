"""Alert channels against servers that hang and drip, TLS included: every deadline is a total one."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

import pytest

from agent.alerts.dispatcher import AlertDispatcher
from agent.alerts.sinks import make_sink
from agent.alerts.worker import Channel
from agent.core.alerts.notice import Notice
from agent.errors import ConfigError
from agent.ports import Delivery
from tests.lab.tls import Certificates, make_certificates
from tests.support.alert_channel import SECRET, channel, send
from tests.support.slack import SLACK_S
from tests.support.slow_server import Serve, Talk, answer, deaf, drip, drip_body, hang


@pytest.mark.parametrize("talk", [hang, drip, drip_body, deaf])
def test_the_deadline_is_total(serve: Serve, talk: Talk) -> None:
    """Whether the server hangs or drips, the try ends in time and is worth another."""
    begin = time.monotonic()
    delivery = send(serve(talk).port, 0.4)
    assert time.monotonic() - begin < 0.4 + SLACK_S
    assert delivery == Delivery(ok=False, retry=True, detail="no complete answer within 0.4 s")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Make a CA and a certificate for 127.0.0.1."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls(certificates: Certificates) -> ssl.SSLContext:
    """Return the context of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    return context


def test_tls_works_with_a_ca_of_our_own(serve: Serve, tls: ssl.SSLContext, certificates: Certificates) -> None:
    """A channel inside may have a private CA; without it the certificate is not trusted, and that is said."""
    port = serve(answer("200 OK"), tls).port
    assert send(port, scheme="https", ca_file=certificates.ca).ok
    delivery = send(port, scheme="https")
    assert delivery.retry
    assert "certificate is not trusted" in delivery.detail


@pytest.mark.parametrize("talk", [hang, drip, drip_body])
def test_the_deadline_is_total_under_tls(
    serve: Serve, tls: ssl.SSLContext, certificates: Certificates, talk: Talk
) -> None:
    """The same, when the bytes drip inside TLS records."""
    begin = time.monotonic()
    delivery = send(serve(talk, tls).port, 0.5, scheme="https", ca_file=certificates.ca)
    assert time.monotonic() - begin < 0.5 + SLACK_S
    assert delivery == Delivery(ok=False, retry=True, detail="no complete answer within 0.5 s")


def test_the_deadline_is_total_in_the_handshake(serve: Serve, certificates: Certificates) -> None:
    """A server that never answers the TLS hello does not hold the channel."""
    begin = time.monotonic()
    delivery = send(serve(deaf).port, 0.4, scheme="https", ca_file=certificates.ca)
    assert time.monotonic() - begin < 0.4 + SLACK_S
    assert delivery.detail == "no complete answer within 0.4 s"


def test_plain_http_behind_https_is_told(serve: Serve, certificates: Certificates) -> None:
    """A URL with the wrong scheme is a common mistake."""

    def talk(client: socket.socket) -> None:
        client.recv(10)
        client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    delivery = send(serve(talk).port, scheme="https", ca_file=certificates.ca)
    assert "only http" in delivery.detail or "reset" in delivery.detail


def test_a_ca_file_that_is_none_is_a_configuration_error(tmp_path: Path) -> None:
    """It is told at the start, with the channel's name, and without its URL."""
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    with pytest.raises(ConfigError, match=r"alerts ops: ca_file") as caught:
        make_sink(channel(1, scheme="https", ca_file=file))
    assert SECRET not in str(caught.value)


def test_the_desk_and_its_channels_never_hold_anybody_up(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """With real servers that hang, drip and fail: telling stays instant, closing bounded, logs free of the URL."""
    caplog.set_level("DEBUG")
    ports = [serve(talk).port for talk in (hang, drip, answer("500 No"), answer("200 OK"))]
    dispatcher = AlertDispatcher(
        [Channel(make_sink(channel(port, name=f"c{port}")), "info", 0.3) for port in ports], first_wait_s=0.05
    )
    spans = []
    for number in range(100):
        begin = time.perf_counter()
        dispatcher.tell(Notice(str(number), "event", "critical", "summary"))
        spans.append(time.perf_counter() - begin)
        time.sleep(0.002)
    assert max(spans) < 0.3, spans  # one that waited for a channel would take its time-out; a busy machine takes less
    deadline = time.monotonic() + 5
    while dispatcher.stats()[3].sent["ok"] < 100:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    begin = time.monotonic()
    dispatcher.close(0.5)
    assert time.monotonic() - begin < 0.5 + SLACK_S
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("agent"))
    assert "does not deliver" in ours
    assert SECRET not in ours
