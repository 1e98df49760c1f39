"""What doctor reads: config.ini, command lines, certificates, metrics, /proc. It keeps no secret of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.shared import settings_of
from agent.doctor.agent import unit_of
from agent.doctor.gather_etcd import measured
from agent.doctor.gather_nodeos import address
from agent.etcd.info import EtcdServer
from agent.net.tls import CertificateError, not_after, of_pem
from agent.nodeos import config_ini
from tests.doctor.parts import KEY, config
from tests.lab.tls import make_certificates

PRIVATE = "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3"
INI = f"""
# pause-on-startup = false
[section]
pause-on-startup = true   # yes
signature-provider = {KEY}=KEY:{PRIVATE}
signature-provider=PUB_BLS_abc=KEY:PVT_BLS_def
plugin = eosio::producer_api_plugin
plugin = eosio::net_api_plugin
http-server-address = 0.0.0.0:8888
p2p-peer-address = 10.0.0.2:9876
peer-private-key = ["EOSabc","secret.example"]
"""


def test_config_ini_is_read_without_its_secrets() -> None:
    """Comments and sections are passed over, a name may stand several times, private keys are dropped."""
    found = config_ini.merged(config_ini.of_ini(INI), ["config.ini"])
    assert found.on("pause-on-startup")
    assert found.values["plugin"] == ("eosio::producer_api_plugin", "eosio::net_api_plugin")
    assert found.values["signature-provider"] == (KEY, "PUB_BLS_abc")
    assert PRIVATE not in repr(found)
    assert "PVT_BLS" not in repr(found)
    assert "secret.example" not in repr(found)


@pytest.mark.parametrize(
    ("arguments", "name", "on"),
    [
        (["-x"], "pause-on-startup", True),
        (["--pause-on-startup"], "pause-on-startup", True),
        (["--pause-on-startup", "--plugin", "x"], "pause-on-startup", True),
        (["--pause-on-startup=false"], "pause-on-startup", False),
        (["--enable-stale-production", "true"], "enable-stale-production", True),
        (["-e", "-p", "eosio"], "enable-stale-production", True),
        (["--p2p-peer-address", "-e.example"], "enable-stale-production", False),
    ],
)
def test_the_command_line_is_read_as_nodeos_does(arguments: list[str], name: str, on: bool) -> None:
    """Switches with and without a value, short names, and `=`."""
    assert config_ini.merged(config_ini.of_command_line(arguments), []).on(name) is on


def test_the_command_line_wins_over_the_file() -> None:
    """What was said last counts."""
    found = [*config_ini.of_ini("pause-on-startup = true"), *config_ini.of_command_line(["--pause-on-startup=false"])]
    assert not config_ini.merged(found, []).on("pause-on-startup")


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        ([], "/home/eos/.local/share/eosio/nodeos/config/config.ini"),
        (["--config-dir", "/etc/nodeos"], "/etc/nodeos/config.ini"),
        (["--config-dir=conf"], "/srv/conf/config.ini"),
        (["--config-dir", "/etc/nodeos", "-c", "a.ini"], "/etc/nodeos/a.ini"),
        (["--config", "/etc/b.ini"], "/etc/b.ini"),
    ],
)
def test_config_ini_is_looked_for_where_nodeos_does(arguments: list[str], file: str) -> None:
    """By --config-dir and --config, else below the user's home."""
    assert str(config_ini.config_file_of(arguments, "/home/eos", "/srv")) == file


def test_the_end_of_a_certificate_is_read(tmp_path: Path) -> None:
    """Of certificates that openssl made, for two days."""
    files = make_certificates(tmp_path)
    for file in (files.ca, files.server, files.client):
        (end,) = of_pem(file.read_text())
        assert timedelta(days=1, hours=23) < end - datetime.now(UTC) < timedelta(days=2, minutes=1)
    assert len(of_pem(files.ca.read_text() + files.server.read_text())) == 2


def element(tag: int, *parts: bytes) -> bytes:
    """Return an element of X.690 with a short length."""
    content = b"".join(parts)
    return bytes([tag, 0x81, len(content)]) + content if len(content) > 0x7F else bytes([tag, len(content)]) + content


@pytest.mark.parametrize(
    ("tag", "text", "end"),
    [
        (0x17, b"491231235959Z", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (0x18, b"20510203040506Z", datetime(2051, 2, 3, 4, 5, 6, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("version", [b"", element(0xA0, element(0x02, b"\x02"))])
def test_a_certificate_may_end_after_2049(tag: int, text: bytes, end: datetime, version: bytes) -> None:
    """From 2050 on times have four digits for the year (RFC 5280, 4.1.2.5), whether a version is told or not."""
    validity = element(0x30, element(0x17, b"260101000000Z"), element(tag, text))
    serial, nothing = element(0x02, b"\x05"), element(0x30)
    body = element(0x30, version, serial, nothing, nothing, validity, element(0x30, b"\x00" * 100))
    assert not_after(element(0x30, body)) == end
    with pytest.raises(CertificateError, match="unknown form"):
        not_after(element(0x30, element(0x30, serial, nothing, nothing, element(0x30, serial, serial))))


@given(st.binary(max_size=60))
def test_what_is_no_certificate_is_refused(raw: bytes) -> None:
    """Whatever stands in the file, there is a CertificateError and nothing else."""
    with pytest.raises(CertificateError):
        not_after(raw)
    with pytest.raises(CertificateError):
        of_pem(raw.decode("latin-1"))
    with pytest.raises(CertificateError):
        of_pem("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----")


def test_metrics_of_etcd_are_read() -> None:
    """Quota, compaction, and the percentile of the fsync histogram; labels do not confuse."""
    text = """
# TYPE etcd_disk_wal_fsync_duration_seconds histogram
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 900
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.002"} 980
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.004"} 995
etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} 1000
etcd_server_quota_backend_bytes 2.147483648e+09
etcd_debugging_mvcc_compact_revision 120
etcd_server_version{server_version="3.5.1"} 1
"""
    found = measured(EtcdServer("e"), text)
    assert (found.quota, found.compacted, found.fsync_s) == (2**31, 120, 0.004)
    assert measured(EtcdServer("e"), "").fsync_s is None


def test_addresses_of_proc_are_written_for_people() -> None:
    """IPv4 and IPv6, as the kernel writes them on this byte order."""
    assert address("0100007F:22B8") == "127.0.0.1:8888"
    assert address("00000000000000000000000001000000:22B8") == "[::1]:8888"
    assert address("00000000:0050") == "0.0.0.0:80"


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/nodeos-failover.service\n", "nodeos-failover.service"),
        ("0::/user.slice/user-0.slice/session-1.scope\n", ""),
        ("0::/user.slice/user@1000.service\n", ""),
        ("0::/\n", ""),
        ("", ""),
    ],
)
def test_the_unit_of_a_process_is_read_from_its_cgroup(cgroup: str, unit: str) -> None:
    """A service is one, a login session is none."""
    assert unit_of(cgroup) == unit


def test_what_agents_tell_of_their_configuration_has_no_secret(tmp_path: Path) -> None:
    """The words agree where the settings do, name BLS keys by a digest, and fit into a member's report."""
    file = tmp_path / "config.ini"
    file.write_text(INI)
    words = settings_of(config(nodeos={"config_file": str(file)}))
    assert "finalizer=" in words
    assert "PUB_BLS" not in words
    assert PRIVATE not in words
    assert len(words) <= 200
    assert settings_of(config()) == settings_of(config(node="bp-b"))
    assert settings_of(config()) != settings_of(config(timing={"validity": 7.0}))
