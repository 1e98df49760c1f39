"""Which group a command means, and as whom it asks etcd; what a shell completes from there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from agent.cli import options, target
from agent.cli.main import main
from agent.cli.target import Chosen, Target
from agent.core.model.store import Snapshot
from agent.errors import ConfigError, StoreRejected, StoreUnavailable
from tests.cli.groups import beat, snapshot
from tests.cli.test_status import below
from tests.support.recorder import Recorder
from tests.support.slack import within

MINIMAL = """
group = "eos"
node = "bp-a"
producer = "myproducer11"
nodeos.url = "http://127.0.0.1:8888"
timing.renew = 1.0
"""
SECRET = "correct horse battery"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home directory with files as certificates, and no variable of the host's in the way."""
    for name in ("NODEOS_FAILOVER_CONFIG", "NODEOS_FAILOVER_PROFILE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("ca.crt", "agent.crt", "agent.key", "ann.crt", "ann.key", "bob.crt", "bob.key", "password"):
        (tmp_path / name).write_text(SECRET)
        (tmp_path / name).chmod(0o600)
    (tmp_path / ".config/nodeos-failover").mkdir(parents=True)
    return tmp_path


def configuration(home: Path, etcd: str) -> Path:
    """Write a configuration of an agent."""
    path = home / "config.toml"
    path.write_text(f"{MINIMAL}[etcd]\n{etcd}\n".replace("HOME", str(home)))
    return path


def resolve(home: Path, environ: dict[str, str] | None = None, *, profile: str | None = None, **given: Any) -> Target:
    """Resolve what options say."""
    group = given.pop("group", None)
    return target.resolve(
        Chosen(home / "config.toml", group, profile, given, 3.0), {"HOME": str(home)} | (environ or {})
    )


AGENTS = """endpoints = ["https://e:1"]
ca_file = "HOME/ca.crt"
cert_file = "HOME/agent.crt"
key_file = "HOME/agent.key"
"""


def test_the_configuration_alone_is_the_agents_identity(home: Path) -> None:
    """Whoever names nothing acts as the agent, and is told so when that is not enough."""
    configuration(home, AGENTS)
    found = resolve(home)
    assert (found.group, found.node, found.look_for) == ("eos", "bp-a", 5.5)
    assert found.section.cert_file == home / "agent.crt"
    assert "which is the agent's" in found.asked_as


def test_an_operators_certificate_replaces_the_agents(home: Path) -> None:
    """Endpoints and CA of the configuration, the operator's own certificate and key, which come from one place."""
    configuration(home, AGENTS)
    found = resolve(home, {"ETCDCTL_CERT": str(home / "ann.crt"), "ETCDCTL_KEY": str(home / "ann.key")})
    assert found.section.endpoints == ("https://e:1",)
    assert (found.section.ca_file, found.section.cert_file) == (home / "ca.crt", home / "ann.crt")
    assert "which is the agent's" not in found.asked_as
    both = {"ETCDCTL_CERT": str(home / "ann.crt"), "ETCDCTL_KEY": str(home / "ann.key")}
    found = resolve(home, both, cert_file=str(home / "bob.crt"), key_file=str(home / "bob.key"))
    assert (found.section.cert_file, found.section.key_file) == (home / "bob.crt", home / "bob.key")
    with pytest.raises(ConfigError, match=r"--cert \(ETCDCTL_CERT\) and .*belong together"):
        resolve(home, both, cert_file=str(home / "bob.crt"))


def test_an_operator_needs_nothing_of_what_only_the_agent_may_read(home: Path) -> None:
    """Keys, passwords and files of the agent that cannot be read do not matter to who brings their own."""
    path = configuration(home, AGENTS.replace("agent.key", "nowhere.key") + 'user = "agent"\npassword_file = "/nope"')
    path.write_text(path.read_text() + '[http]\ntoken_file = "/nope"\n[nodeos]\n'.replace("[nodeos]\n", ""))
    found = resolve(home, cert_file=str(home / "ann.crt"), key_file=str(home / "ann.key"))
    assert (found.section.user, found.section.cert_file) == (None, home / "ann.crt")
    found = resolve(home, {"ETCDCTL_USER": f"ann:{SECRET}"})
    assert (found.section.user, found.section.cert_file) == ("ann", None)
    with pytest.raises(ConfigError, match=r"etcd\.key_file: cannot read"):
        resolve(home)


def test_etcdctls_variables_suffice(home: Path) -> None:
    """With ETCDCTL_ENDPOINTS and a group no configuration is read; a user's password comes with it or beside it."""
    variables = {"ETCDCTL_ENDPOINTS": "https://e:1, https://f:1", "ETCDCTL_CACERT": str(home / "ca.crt")}
    found = resolve(home, variables | {"ETCDCTL_USER": f"ann:{SECRET}:x"}, group="eos")
    assert found.section.endpoints == ("https://e:1", "https://f:1")
    assert found.section.password is not None
    assert found.section.password.get_secret_value() == f"{SECRET}:x"
    found = resolve(home, variables | {"ETCDCTL_USER": "ann", "ETCDCTL_PASSWORD": SECRET}, group="eos")
    assert found.asked_as == "as the user ann"
    found = resolve(home, {"ETCDCTL_DISCOVERY_SRV": "example.org"}, group="eos")
    assert found.section.discovery_srv == "example.org"
    assert resolve(home, {"ETCDCTL_DISCOVERY_SRV": "example.org"}, group="eos", endpoints="h:1").section.endpoints == (
        "h:1",
    )


def test_a_profile_says_it_once(home: Path) -> None:
    """group and [etcd] as in a configuration, ~ for the home directory; another one by its name; options go first."""
    profiles = home / ".config/nodeos-failover"
    (profiles / "default.toml").write_text(
        f'group = "wax"\n[etcd]\nendpoints = ["https://w:1"]\nca_file = "{home}/ca.crt"\n'
        f'user = "ann"\npassword_file = "{home}/password"\n'
    )
    (profiles / "lab.toml").write_text('group = "lab"\netcd.endpoints = ["http://l:1"]\n')
    found = resolve(home)
    assert (found.group, found.section.endpoints, found.section.user) == ("wax", ("https://w:1",), "ann")
    assert resolve(home, profile="lab").group == "lab"
    assert resolve(home, {"NODEOS_FAILOVER_PROFILE": "lab"}).group == "lab"
    assert resolve(home, group="eos").group == "eos"
    with pytest.raises(ConfigError, match="--profile other: there is no"):
        resolve(home, profile="other")
    with pytest.raises(ConfigError, match="is no name"):
        resolve(home, profile="../etc/passwd")
    (profiles / "default.toml").write_text('group = "wax"\nnode = "x"\netcd = 3\n')
    with pytest.raises(ConfigError) as caught:
        resolve(home)
    assert len(caught.value.problems) == 2


def invoke(*arguments: str, env: dict[str, str] | None = None, stdin: str = "") -> Result:
    """Run a command."""
    return CliRunner().invoke(main, arguments, env=env, input=stdin)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--etcd", "https://h:2379", "-g", "G".lower()), 3, "--cacert (ETCDCTL_CACERT) is missing"),
        (("--etcd", "http://h:2379/x", "-g", "g"), 3, "--etcd (ETCDCTL_ENDPOINTS): 'http://h:2379/x' has a path"),
        (("--etcd", "http://h:1,https://i:1", "-g", "g"), 3, "--etcd (ETCDCTL_ENDPOINTS): http, https"),
        (("--etcd", "http://h:1", "-g", "g", "--prefix", "x/"), 3, "--prefix: 'x/' is no key prefix"),
        (("--etcd", "http://h:1", "-g", "g", "--cert", "/nope"), 3, "--cert (ETCDCTL_CERT): cannot read /nope"),
        (("--etcd", "http://h:1", "-g", "g", "--user", "ann"), 3, "no password for ann: set --password-file"),
        (("--etcd", "http://h:1", "-g", "g", "--user", f"ann:{SECRET}"), 2, "others on this host can read a password"),
        (("--etcd", "http://h:1"), 3, "--etcd and --group"),
        (("--etcd", "http://h:1", "-g", "G!"), 2, "is no name"),
        (("-g", "g"), 3, "name --etcd"),
    ],
)
@pytest.mark.parametrize("command", ["status", "history", "drain", "check"])
def test_what_cannot_be_used_is_told_without_a_traceback(
    home: Path, command: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """Each fault names the option and variable that it was given by; `check` puts the same into its one line."""
    config = ["--config", str(home / "nowhere.toml")]
    result = invoke(command, *arguments, *config, env={"HOME": str(home), "ETCDCTL_ENDPOINTS": ""})
    assert isinstance(result.exception, SystemExit), result.exception
    assert said in result.output
    assert SECRET not in result.output
    assert result.exit_code == (3 if command == "check" else code)


def test_a_password_is_asked_for_where_a_person_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the password of --user is typed unseen; it is not asked for twice, nor for nothing."""
    monkeypatch.setattr(target, "attended", lambda: True)
    asked: list[dict[str, Any]] = []

    def prompt(text: str, **how: Any) -> str:
        asked.append({"text": text, **how})
        return SECRET

    monkeypatch.setattr(click, "prompt", prompt)
    assert target.with_password({"user": "ann"}) == {"user": "ann", "password": SECRET}
    assert asked == [{"text": "password of ann", "hide_input": True, "err": True}]
    for known in ({}, {"user": "ann", "password": "x"}, {"user": "ann", "password_file": "/x"}):
        assert target.with_password(known) == known
    assert len(asked) == 1


Ask = Callable[..., list[str]]


def completed(*words: str) -> list[str]:
    """Return what is offered for the last word."""
    shell = ShellComplete(main, {}, "nodeos-failover", options.COMPLETING)
    return [each.value for each in shell.get_completions(list(words[:-1]), words[-1])]


@pytest.fixture
def etcd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """Stand two groups in an etcd; yield the options that name it."""
    found = snapshot(10, beat(3))
    both = Snapshot(10, (*found.items, *below(found, "wax")))
    monkeypatch.setattr(target, "open_store", lambda _section: Recorder({"range": both}))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NODEOS_FAILOVER_CONFIG", raising=False)
    yield ["--etcd", "http://127.0.0.1:1", "--config", str(tmp_path / "nowhere.toml")]


def test_names_of_nodes_are_offered_wherever_a_node_is_named(etcd: list[str]) -> None:
    """Arguments and options; only what begins as typed."""
    group = [*etcd, "--group", "eos"]
    for words in (("drain",), ("undrain",), ("override", "set"), ("switchover", "--to"), ("failover", "--dead")):
        command, rest = words[:1], words[1:]
        before = [*command, *rest[:1], *group] if rest[:1] == ("set",) else [*command, *group, *rest]
        assert completed(*before, "") == ["bp-a", "bp-b"], words
        assert completed(*before, "bp-b") == ["bp-b"], words
    assert completed("drain", *group, "x") == []


def test_names_of_groups_are_offered(etcd: list[str]) -> None:
    """Every group below the prefix."""
    assert completed("status", *etcd, "--group", "") == ["eos", "wax"]
    assert completed("history", *etcd, "-g", "w") == ["wax"]


def test_a_shell_is_never_kept_waiting_nor_asked(etcd: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An etcd that hangs costs a bounded time, any error nothing; no password is asked for."""
    over = threading.Event()

    def hang(_section: object) -> object:
        over.wait(30)
        raise StoreUnavailable("over")

    monkeypatch.setattr(target, "open_store", hang)
    monkeypatch.setattr(target, "WAIT_S", 0.2)
    with within(0.2):
        assert completed("drain", *etcd, "--group", "eos", "") == []
    over.set()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setenv(options.COMPLETING, "bash_complete")
    assert not options.attended()
    assert completed("drain", "--etcd", "https://x:1", "--user", "ann", "") == []


@pytest.mark.parametrize(
    ("http", "page"),
    [
        ("", "; see the agent's page: http://127.0.0.1:9877/"),
        ('[http]\nlisten = "[::]:9900"\ncert_file = "/x"', "; see the agent's page: https://[::1]:9900/"),
        ('[http]\nlisten = ""', ""),
    ],
)
def test_without_etcd_the_agents_page_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, http: str, page: str
) -> None:
    """What a command cannot read from etcd the agent still knows: where its page is stands in its configuration."""
    configuration(home, AGENTS + http)

    monkeypatch.setattr(target, "open_store", lambda section: Recorder({"range": StoreUnavailable("no answer")}))
    with pytest.raises(StoreUnavailable) as told, resolve(home).store() as store:
        store.range("/", 1.0)
    assert str(told.value) == "no answer" + page


def test_all_groups_need_a_right_that_the_operator_of_one_lacks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status --all` reads the whole prefix: no role of one group's operator is the remedy."""
    configuration(home, AGENTS)

    denied = StoreRejected("permission_denied", "permission denied")
    monkeypatch.setattr(target, "open_store", lambda section: Recorder({"range": denied}))
    chosen = Chosen(home / "config.toml", None, None, {}, 3.0)
    found = target.resolve(chosen, {"HOME": str(home)}, every=True)
    with pytest.raises(StoreRejected, match="read on the whole prefix") as told, found.store() as store:
        store.range("/", 1.0)
    assert "/nodeos-failover/" in str(told.value)
    assert "access.sh" not in str(told.value)
