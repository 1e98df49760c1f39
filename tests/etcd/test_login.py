"""Real etcd with passwords and with TLS: tokens that die, wrong words, wrong certificates; and nothing secret shown."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from agent.config.sections import EtcdSection
from agent.core.model.store import Put, Txn
from agent.errors import StoreError, StoreRejected, StoreUnavailable
from agent.etcd.connection import EtcdOptions
from agent.etcd.info import server_info
from agent.etcd.rpc import range_request
from agent.etcd.store import EtcdStore
from agent.host.deadline import Deadline
from agent.runtime.credentials import etcd_options
from tests.lab.etcd import EtcdCluster
from tests.lab.etcd import EtcdOptions as ClusterOptions
from tests.lab.tls import make_certificates
from tests.support.etcd_bench import PREFIX, options_for, put, running, store_on
from tests.support.slack import within

pytestmark = pytest.mark.real
TOKEN_TTL_S = 2


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Run a member over plain text that asks for passwords and forgets idle tokens after TOKEN_TTL_S."""
    options = ClusterOptions(size=1, user="agent", more=(f"--auth-token-ttl={TOKEN_TTL_S}",))
    with running(tmp_path_factory.mktemp("guarded"), options) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Run a member with TLS that asks for client certificates, and for a password on top."""
    with running(tmp_path_factory.mktemp("encrypted"), ClusterOptions(size=1, tls=True, user="agent")) as cluster:
        yield cluster


def fails(options: EtcdOptions, timeout_s: float = 2.0) -> StoreError:
    """Return the error of a read with these options; it must not show the password."""
    with closing(EtcdStore(options)) as store, pytest.raises(StoreError) as caught:
        store.range(PREFIX, timeout_s)
    assert (options.secret() or "hunter2") not in str(caught.value) + repr(caught.value)
    return caught.value


def is_forgotten(store: EtcdStore) -> bool:
    """Use the token of a store's connection, behind the store's back."""
    connection = store._connection
    assert connection is not None
    try:
        connection.call(connection.client.kvstub.Range, range_request(PREFIX), Deadline(2.0))
    except grpc.RpcError as error:
        return "invalid auth token" in str(error)
    return False


def test_dead_token_is_replaced_within_the_call(guarded: EtcdCluster) -> None:
    """A token that etcd forgot costs a new login and no failed call: the refused request was certainly not applied."""
    with ExitStack() as stack:
        stores = [stack.enter_context(store_on(guarded)) for _ in range(4)]
        for store in stores:
            store.txn(put("a", b"1"), 5.0)
        time.sleep(TOKEN_TTL_S + 2.0)  # not to be polled for: each use renews a token; etcd sweeps once a second
        assert all(is_forgotten(store) for store in stores)
        revision = stores[0].range(PREFIX, 2.0).revision
        assert stores[1].txn(put("a", b"2"), 2.0).revision == revision + 1
        assert stores[2].grant(5, 2.0).ttl == 5
        change = stores[3].watch(PREFIX, revision + 1, 2.0).next(2.0)
        assert change is not None
        assert change.items[0].value == b"2"
        assert stores[0].range(PREFIX, 2.0).revision == revision + 1  # applied once, not twice


def test_wrong_password_is_a_definite_no(guarded: EtcdCluster) -> None:
    """A wrong password is told at once, with the setting to look at."""
    error = fails(replace(options_for(guarded), password="hunter2"))
    assert isinstance(error, StoreRejected)
    assert error.reason == "auth"
    assert "etcd.user and its password" in str(error)


def test_a_password_that_was_changed_is_used_at_the_next_login(guarded: EtcdCluster, tmp_path: Path) -> None:
    """After `etcdctl user passwd` and the new word in the file a store that runs goes on, and shows neither."""
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_text(guarded.password or "")
    given = {"endpoints": guarded.urls, "user": "agent", "password_file": str(file), "password": "at the start"}
    options = etcd_options(EtcdSection.model_validate(given), PREFIX)
    with closing(EtcdStore(options)) as store:
        store.txn(put("rotated", b"1"), 5.0)
        guarded.etcdctl("user", "passwd", "agent", "--interactive=false", stdin="another-word\n")
        try:
            with pytest.raises(StoreRejected):
                store.txn(put("rotated", b"2"), 2.0)
            file.write_text("another-word\n")
            assert store.txn(put("rotated", b"3"), 2.0).applied
        finally:
            guarded.etcdctl("user", "passwd", "agent", "--interactive=false", stdin=f"{guarded.password}\n")
    assert "another-word" not in repr(options)


def test_missing_user_is_a_definite_no(guarded: EtcdCluster) -> None:
    """An etcd that asks for a user says so to whoever shows none."""
    error = fails(EtcdOptions(tuple(guarded.urls)))
    assert isinstance(error, StoreRejected)
    assert error.reason == "auth"


def test_keys_outside_the_role_are_a_definite_no(guarded: EtcdCluster) -> None:
    """What the role does not cover can neither be written, read nor watched, and the error names the remedy."""
    with store_on(guarded) as store:
        for request in (
            lambda: store.txn(Txn((), (Put("/other/a", b"1"),)), 2.0),
            lambda: store.range("/other/", 2.0),
            lambda: store.watch("/other/", 1, 2.0),
        ):
            with pytest.raises(StoreRejected, match="its role lacks this right") as caught:
                request()
            assert caught.value.reason == "permission_denied"


def test_probe_may_be_forbidden(guarded: EtcdCluster) -> None:
    """A member is fit if it answers the probe, even with a no."""
    with closing(EtcdStore(replace(options_for(guarded), probe="/forbidden"))) as store:
        assert store.txn(put("a"), 2.0).applied


def test_server_info_with_passwords(guarded: EtcdCluster) -> None:
    """The state of a member can be read where passwords are asked for."""
    assert server_info(options_for(guarded), guarded.urls[0], 2.0).leader


def test_password_without_need_is_used_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where authentication is disabled the store works, and the log says that anybody may write."""
    with running(tmp_path, ClusterOptions(size=1)) as cluster, caplog.at_level(logging.WARNING), ExitStack() as stack:
        options = replace(options_for(cluster), user="agent", password="hunter2")
        store = stack.enter_context(closing(EtcdStore(options)))
        assert store.txn(put("a"), 5.0).applied
    assert "authentication disabled" in caplog.text
    assert "hunter2" not in caplog.text


def test_certificate_and_password_together(encrypted: EtcdCluster) -> None:
    """TLS with a client certificate, and a password over it."""
    with store_on(encrypted) as store:
        assert store.endpoint().startswith("https://")
        revision = store.txn(put("a", b"1"), 5.0).revision
        change = store.watch(PREFIX, revision, 5.0).next(5.0)
        assert change is not None
        assert change.items[0].value == b"1"
    assert server_info(options_for(encrypted), encrypted.urls[0], 5.0).leader


def test_wrong_ca_is_named(encrypted: EtcdCluster, tmp_path: Path) -> None:
    """A server that our CA did not sign is not trusted, and the error names the setting."""
    other = make_certificates(tmp_path / "other")
    error = fails(replace(options_for(encrypted), ca=other.ca), 1.0)
    assert isinstance(error, StoreUnavailable)
    assert "not signed by etcd.ca_file" in str(error)


def test_missing_client_certificate_fails_in_time(encrypted: EtcdCluster) -> None:
    """Without the client certificate that etcd asks for nothing works, and the call ends at its deadline."""
    with within(1.0):
        assert "refuses our client certificate, or wants one" in str(
            fails(replace(options_for(encrypted), cert=None, key=None), 1.0)
        )


def test_foreign_client_certificate_fails_in_time(encrypted: EtcdCluster, tmp_path: Path) -> None:
    """A client certificate of another CA is refused by etcd."""
    other = make_certificates(tmp_path / "other")
    assert isinstance(
        fails(replace(options_for(encrypted), cert=other.client, key=other.client_key), 1.0), StoreUnavailable
    )


def test_plain_text_to_tls_and_back_fail_in_time(encrypted: EtcdCluster, guarded: EtcdCluster) -> None:
    """The wrong scheme is no answer, within the deadline, and the error asks about it."""
    plain = EtcdOptions((encrypted.urls[0].replace("https", "http"),))
    assert "does it want TLS" in str(fails(plain, 1.0))
    wrapped = replace(options_for(encrypted), endpoints=(guarded.urls[0].replace("http", "https"),))
    assert "does it speak plain text" in str(fails(wrapped, 1.0))


def test_unusable_files_are_named(encrypted: EtcdCluster, tmp_path: Path) -> None:
    """A file that is missing, or not what it should be, is a definite no that names the file; nothing was sent."""
    good = options_for(encrypted)
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    for bad, setting in (
        (replace(good, ca=tmp_path / "none"), "etcd.ca_file"),
        (replace(good, ca=junk), "etcd.ca_file"),
        (replace(good, key=junk), "etcd.key_file"),
        (replace(good, cert=tmp_path / "none"), "etcd.cert_file"),
    ):
        error = fails(bad, 1.0)
        assert isinstance(error, StoreRejected)
        assert error.reason == "tls_files"
        assert setting in str(error)
