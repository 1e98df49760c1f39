"""Loading the configuration: five lines are enough, the environment wins, and every problem is told at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agent.app import policy
from agent.config.load import ENV_PREFIX, load
from agent.config.model import Config, settings
from agent.config.protocol import TimingSection
from agent.config.section import section_of
from agent.core.election.policy import Policy, Urgency
from agent.core.leadership.timing import PeersMode, Timing
from agent.errors import ConfigError

MINIMAL = """
group = "eos-mainnet"
node = "bp-a"
producer = "myproducer11"
nodeos.url = "http://127.0.0.1:8888"
etcd.endpoints = ["http://127.0.0.1:2379"]
"""
Loader = Callable[..., Config]


@pytest.fixture
def read(tmp_path: Path) -> Loader:
    """Write a text to a file and load it, with the environment that is passed."""

    def write_and_load(text: str, environ: Mapping[str, str] | None = None, mode: int = 0o640) -> Config:
        path = tmp_path / "config.toml"
        path.write_text(text)
        path.chmod(mode)
        return load(path, environ or {})

    return write_and_load


def problems(read: Loader, text: str, environ: Mapping[str, str] | None = None, mode: int = 0o640) -> list[str]:
    """Return the problems of a configuration that must be refused."""
    with pytest.raises(ConfigError) as caught:
        read(text, environ, mode)
    assert caught.value.exit_code == 3
    return caught.value.problems


def test_five_lines_are_enough(read: Loader) -> None:
    """Group, node, producer, nodeos.url and etcd.endpoints suffice; the spans are those of the core, with peers."""
    config = read(MINIMAL)
    assert config.spans == Timing(peers=PeersMode.LEASE)
    assert config.etcd.targets == (("127.0.0.1", 2379),)
    assert config.http.address == ("127.0.0.1", 9877)
    assert not config.etcd.tls


@pytest.mark.parametrize("line", MINIMAL.strip().splitlines())
def test_each_of_the_five_lines_is_needed_and_asked_for_by_name(read: Loader, line: str) -> None:
    """Without one of them the message names it and shows what to write."""
    (problem,) = problems(read, MINIMAL.replace(line, ""))
    name = line.split(" = ")[0]
    assert problem.startswith((f"{name} is missing", f"{name.split('.')[0]} is missing"))
    assert "write " in problem


def test_the_environment_overrides_the_file_at_any_depth(read: Loader) -> None:
    """Variables reach nested settings, lists as JSON or with commas, and an empty text takes a value back."""
    config = read(
        MINIMAL + '[nodeos]\nproducer_url = "http://127.0.0.1:9999"\n'.replace("[nodeos]\n", "nodeos."),
        {
            "NODEOS_FAILOVER_NODE": "bp-b",
            "NODEOS_FAILOVER_ETCD__ENDPOINTS": "etcd-1:2379, etcd-2:2379",
            "NODEOS_FAILOVER_TIMING__VALIDITY": "7.5",
            "NODEOS_FAILOVER_HEALTH__PEERS__MIN": "3",
            "NODEOS_FAILOVER_HTTP__LISTEN": "",
            "NODEOS_FAILOVER_NODEOS__URL": "unix:///run/nodeos/nodeos.sock",
            "NODEOS_FAILOVER_NODEOS__PRODUCER_URL": "",
            "nodeos_failover_log__format": "json",
            "UNRELATED": "1",
        },
    )
    assert config.node == "bp-b"
    assert config.etcd.targets == (("etcd-1", 2379), ("etcd-2", 2379))
    assert config.spans.validity == 7500
    assert config.health.peers.min == 3
    assert config.http.address is None
    assert config.nodeos.producer_url is None
    assert config.log.format == "json"
    again = read(MINIMAL, {"NODEOS_FAILOVER_ETCD__ENDPOINTS": '["http://[::1]:2379"]'})
    assert again.etcd.targets == (("::1", 2379),)


def test_loading_reads_no_environment_but_the_one_it_is_given(read: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of this process does not slip in."""
    monkeypatch.setenv("NODEOS_FAILOVER_NODE", "somebody-else")
    assert read(MINIMAL).node == "bp-a"


def test_the_runtime_directory_of_systemd_wins_over_the_file(read: Loader) -> None:
    """RUNTIME_DIRECTORY may list several; the first counts. Only our own variable is stronger."""
    text = MINIMAL + 'runtime.dir = "/somewhere"\n'
    systemd = {"RUNTIME_DIRECTORY": "/run/first:/run/second"}
    assert read(text).runtime.dir == Path("/somewhere")
    assert read(text, systemd).runtime.dir == Path("/run/first")
    assert read(text, systemd | {"NODEOS_FAILOVER_RUNTIME__DIR": "/run/own"}).runtime.dir == Path("/run/own")


def test_a_loaded_configuration_never_changes(read: Loader) -> None:
    """Top level and sections are frozen."""
    config = read(MINIMAL)
    with pytest.raises(AttributeError):
        config.__setattr__("node", "other")
    with pytest.raises(AttributeError):
        config.timing.__setattr__("validity", 1)


def test_every_problem_is_told_at_once(read: Loader) -> None:
    """Problems in several sections, of several kinds, from file and environment, arrive together."""
    found = problems(
        read,
        """
        group = "EOS"
        producr = "x"
        nodeos.url = "127.0.0.1:8888"
        etcd.endpoints = []
        timing.validity = 3
        health.peers.min = true
        election.priority = "high"
        log.level = "verbose"
        fence.method = "unit"
        """,
        {"NODEOS_FAILOVER_HEALTH__PEERS__RISE": "0"},
    )
    expected = [
        "group: 'EOS' is no name",
        "node is missing",
        "producer is missing",
        "producr is not a setting: did you mean producer?",
        "nodeos.url: '127.0.0.1:8888' is no usable URL: write http",
        "etcd.endpoints is missing: write endpoints",
        "timing.validity is 3 s but must be at least 4.1 s",
        "health.peers.min should be a whole number, without quotes (it is true)",
        "health.peers.rise (set by NODEOS_FAILOVER_HEALTH__PEERS__RISE) should be greater than or equal to 1",
        "election.priority should be a whole number, without quotes (it is 'high')",
        "log.level should be 'debug', 'info', 'warning' or 'error' (it is 'verbose')",
        "fence.unit is missing",
    ]
    for start in expected:
        assert any(problem.startswith(start) for problem in found), (start, found)
    assert len(found) == len(expected)


def test_relations_are_told_beside_single_settings(read: Loader) -> None:
    """How settings fit together, within a table and between tables, is told with the rest; not where one is wrong."""
    found = problems(
        read,
        """
        group = "EOS"
        node = "bp-a"
        producer = "myproducer11"
        nodeos.url = "http://127.0.0.1:8888"
        [etcd]
        endpoints = ["http://127.0.0.1:2379"]
        prefix = "x"
        cert_file = "/nope"
        user = "ann"
        [timing]
        validity = 3.0
        [election]
        hold_down = 300
        hold_down_max = 60
        priority = -1
        [urgency]
        near = "soon"
        far = 0.1
        [gate]
        mode = "on"
        keosd = "http://127.0.0.1:1"
        listen = "http://127.0.0.1:1"
        [[alerts]]
        name = "a"
        type = "pagerduty"
        url = "ftp://x"
        timeout = "1"
        [[alerts]]
        name = "a"
        type = "slack"
        url = "https://x"
        secret = "12345678"
        """,
    )
    expected = [
        "group: 'EOS' is no name",
        "etcd.prefix: 'x' is no key prefix",
        "etcd.cert_file: cannot read /nope",
        "etcd.user is set without a password",
        "timing.validity is 3 s but must be at least 4.1 s",
        "election.priority should be greater than or equal to 0",
        "election.hold_down_max is below election.hold_down",
        "urgency.near should be a number, without quotes (it is 'soon')",
        "gate.public_key is missing",
        "gate.keosd and gate.listen are the same address",
        "alerts[0].timeout should be a number, without quotes",
        "alerts[0]: the URL is no usable URL",
        "alerts[0]: has no routing key",
        "alerts[1]: a channel of type slack uses no secret",
        "alerts: several channels are named a",
    ]
    for start in expected:
        assert any(problem.startswith(start) for problem in found), (start, found)
    assert len(found) == len(expected), found


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('election.nofailover = "yes"', "should be true or false, without quotes (it is 'yes')"),
        ("election.nofailover = 1", "should be true or false, without quotes (it is 1)"),
        ('election.priority = "10"', "should be a whole number, without quotes (it is '10')"),
        ("election.priority = 10.5", "should be a whole number"),
        ("election.priority = true", "should be a whole number, without quotes (it is true)"),
        ('timing.validity = "7"', "should be a number, without quotes (it is '7')"),
        ("timing.validity = true", "should be a number, without quotes (it is true)"),
        ("log.level = 3", "should be 'debug', 'info', 'warning' or 'error'"),
        ("etcd.prefix = 3", "should be a text in quotes (it is 3)"),
        ("nodeos.chain_id = true", "should be a text in quotes (it is true)"),
    ],
)
def test_a_value_of_another_type_is_refused_in_words(read: Loader, line: str, said: str) -> None:
    """TOML has types: what stands in quotes is no number. The environment has only texts, and there "10" is one."""
    (problem,) = problems(read, line + MINIMAL)
    assert problem.startswith(f"{line.split(' = ')[0]} {said}")
    assert read(MINIMAL, {"NODEOS_FAILOVER_ELECTION__NOFAILOVER": "yes"}).election.nofailover
    (problem,) = problems(read, MINIMAL, {"NODEOS_FAILOVER_ELECTION__PRIORITY": "ten"})
    assert problem.startswith("election.priority (set by NODEOS_FAILOVER_ELECTION__PRIORITY) should be a whole number")


def test_every_setting_with_a_pattern_or_no_default_can_be_explained() -> None:
    """A pattern has its words, and what is required an example: both go into what is told."""
    for path, setting in [*settings(), *Config.fields().items()]:
        assert bool(setting.form) == bool(setting.pattern), path
        assert not setting.required or setting.examples or section_of(setting.hint), path


@pytest.mark.parametrize(
    ("line", "guess"),
    [
        ('etcd.endpoint = ["http://127.0.0.1:1"]', "etcd.endpoints"),
        ("lease_ttl = 6", "timing.lease_ttl"),
        ("nofailover = true", "election.nofailover"),
        ('nodeos_url = "x"', "nodeos.url"),
        ("timing.validty = 6", "timing.validity"),
        ("health.head_age.threshold = 6", "here there are enabled, rise, fall, max"),
    ],
)
def test_an_unknown_key_is_refused_with_what_was_probably_meant(read: Loader, line: str, guess: str) -> None:
    """A misspelt or misplaced key is never ignored."""
    (problem,) = problems(read, MINIMAL + line)
    assert f"{line.split(' = ')[0]} is not a setting" in problem
    assert guess in problem


def test_a_misspelt_variable_is_refused_too(read: Loader) -> None:
    """One underscore where two are needed must not silently do nothing; --config's own and the lab's may stand."""
    (problem,) = problems(read, MINIMAL, {"NODEOS_FAILOVER_NODEOS_URL": "x"})
    assert "did you mean nodeos.url (NODEOS_FAILOVER_NODEOS__URL)?" in problem
    assert read(MINIMAL, {"NODEOS_FAILOVER_CONFIG": "/x", "NODEOS_FAILOVER_LAB_ETCD": "/y"}).node == "bp-a"


def test_a_mistake_in_toml_is_told_with_line_and_column(read: Loader) -> None:
    """The parser's position reaches the operator, with the file's name."""
    (problem,) = problems(read, 'group = "a"\nnode = = "b"\n')
    assert "config.toml is not valid TOML" in problem
    assert "line 2, column 8" in problem


@pytest.mark.parametrize("kind", ["missing", "directory", "binary", "pipe"])
def test_a_file_that_cannot_be_read_is_named_at_once(tmp_path: Path, kind: str) -> None:
    """Missing, a directory, no text, or a pipe that nobody writes to: one line, and no waiting."""
    path = tmp_path / "config.toml"
    match kind:
        case "directory":
            path.mkdir()
        case "binary":
            path.write_bytes(b'group = "\xff"')
        case "pipe":
            os.mkfifo(path)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    (problem,) = caught.value.problems
    assert str(path) in problem


@pytest.mark.parametrize(
    ("line", "start"),
    [
        ('node = "none"', "node: 'none' means nobody"),
        ('node = "-a"', "node: '-a' is no name"),
        (f'node = "{"a" * 64}"', f"node: '{'a' * 64}' is no name"),
        ('producer = "MyProducer"', "producer should be an account: up to 12 of a-z"),
        ('producer = "dot."', "producer should be an account: up to 12 of a-z"),
        ('producer = "abcdefghijklz"', "producer should be an account: up to 12 of a-z"),
        ('nodeos.url = "http://u:p@127.0.0.1:8888"', "nodeos.url: a URL with a user or password"),
        ('nodeos.url = "http://127.0.0.1:0"', "nodeos.url:"),
        ('nodeos.url = "http://127.0.0.1:88888"', "nodeos.url:"),
        ('nodeos.url = "http://127.0.0.1:8888/v1"', "nodeos.url: 'http://127.0.0.1:8888/v1' has a path"),
        ('nodeos.url = "unix://socket"', "nodeos.url: 'unix://socket' names no socket"),
        ('etcd.endpoints = ["http://a:1", "https://b:1"]', "etcd.endpoints: http, https and no scheme are mixed"),
        ('etcd.endpoints = ["http://a:1", "http://a:1"]', "etcd.endpoints: an endpoint stands here twice"),
        ('etcd.endpoints = ["http://a:1/x"]', "etcd.endpoints: 'http://a:1/x' has a path"),
        ('etcd.endpoints = ["https://a:1"]', "etcd.ca_file is missing"),
        ('etcd.endpoints = "http://a:1"', "etcd.endpoints should be a list in [ ]"),
    ],
)
def test_what_cannot_be_is_refused(read: Loader, line: str, start: str) -> None:
    """One of the five lines with an impossible value: exactly that is told."""
    name = line.split(" = ")[0]
    text = "\n".join(line if old.startswith(f"{name} ") else old for old in MINIMAL.splitlines())
    (problem,) = problems(read, text)
    assert problem.startswith(start)


@pytest.mark.parametrize(
    ("line", "start"),
    [
        ('etcd.prefix = "nodeos/"', "etcd.prefix: 'nodeos/' is no key prefix"),
        ('etcd.user = "u"', "etcd.user is set without a password"),
        ('etcd.password = "p"', "etcd.user is missing"),
        ('etcd.ca_file = "/nope"', "etcd.ca_file: cannot read /nope"),
        ('etcd.ca_file = "ca.pem"', "etcd.ca_file: a relative path"),
        ('nodeos.data_dir = "/nope"', "nodeos.data_dir: cannot look at /nope"),
        ('nodeos.chain_id = "abc"', "nodeos.chain_id should be 64 hex digits"),
        ('nodeos.producer_key = "EOSabc"', "nodeos.producer_key: this is no public key"),
        ("timing.lease_ttl = 6", "timing.lease_ttl is 6 s but must be above validity 6 s"),
        ("timing.validity = 6000", "timing.validity: 6000 is no span: write seconds, from 0 to 600"),
        ("timing.validity = nan", "timing.validity: nan is no span"),
        ("timing.renew = 0", "timing.renew is not above zero"),
        ('fence.unit = "nodeos"', "fence.unit should be the whole name of a unit, with .service at its end"),
        ('fence.command = ["kill-nodeos"]', "fence.command: 'kill-nodeos' cannot be executed"),
        ('fence.command = ["/bin"]', "fence.command: '/bin' cannot be executed"),
        (r'fence.command = ["/bin/sh", "\u0000"]', "fence.command: an argument has a zero byte"),
        ('http.listen = "9877"', "http.listen: '9877' is no address"),
        ('http.listen = "127.0.0.1:98770"', "http.listen: '127.0.0.1:98770' has no such port"),
        ("election.hold_down = 300\nelection.hold_down_max = 60", "election.hold_down_max is below election.hold_down"),
        ("election.failback_after = -1", "election.failback_after: -1 is no span"),
        ("urgency.far = 1", "urgency.far is below urgency.near"),
        ("urgency.far_fall = 1", "urgency.far_fall is below urgency.near_fall"),
        ("urgency.near_fall = 0", "urgency.near_fall should be greater than or equal to 1"),
        ('runtime.dir = "run"', "runtime.dir: a relative path"),
        ('alerts = [{name = "a", type = "slack"}]', "alerts[0]: has no URL"),
        ("alerts = 3", "alerts should be a list in [ ]"),
        ("timing = 3", "timing should be a table"),
    ],
)
def test_other_values_that_cannot_be_are_refused(read: Loader, line: str, start: str) -> None:
    """One impossible optional setting: exactly that is told."""
    (problem,) = problems(read, line + MINIMAL)
    assert problem.startswith(start)


def test_a_private_key_in_the_wrong_place_is_never_repeated(read: Loader) -> None:
    """Somebody who pastes the private key is told so, without the key."""
    key = "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3"  # the public development key of EOSIO
    (problem,) = problems(read, f'{MINIMAL}nodeos.producer_key = "{key}"')
    assert "PRIVATE" in problem
    assert key not in problem


@pytest.mark.parametrize("name", ["etcd.password_file", "http.token_file"])
def test_a_secret_in_place_of_its_file_is_never_repeated(read: Loader, name: str) -> None:
    """Somebody who writes the secret itself where its file belongs is told so, without the secret."""
    secret = "kWq8vTz2rLm5Xb7NcJd4"
    found = problems(read, f'{MINIMAL}{name} = "{secret}"')
    assert any(each.startswith(f"{name}: a relative path") for each in found)
    assert not any(secret in each for each in found)


def test_settings_and_core_agree_on_every_span() -> None:
    """Each span of the core can be set, under its own name. What the gate means for them is set in [gate]."""
    assert set(TimingSection.fields()) == {*Timing.__slots__} - {"gate", "peers", "beat", "peers_validity"}


def test_a_profile_is_refused_with_what_to_do_instead(read: Loader) -> None:
    """What was a setting once is told as such, in the file and in the environment; no other fault hides behind it."""
    first, second = problems(read, MINIMAL + 'timing.profile = "fast"\ntiming.validitty = 3\n')
    assert first.startswith("timing.profile is not a setting: there are no profiles any more, take it out")
    assert "timing.validity" in second
    (problem,) = problems(read, MINIMAL, {ENV_PREFIX + "TIMING__PROFILE": "default"})
    assert "set by NODEOS_FAILOVER_TIMING__PROFILE" in problem


def test_settings_and_core_agree_on_who_leads_and_when(read: Loader) -> None:
    """The defaults of the settings are those of the core, and what is set arrives there in milliseconds."""
    assert policy(read(MINIMAL)) == Policy()
    set_ = "election.failback = true\nelection.hold_down = 1.5\nurgency.near = 2\nurgency.far_fall = 7\n"
    found = policy(read(set_ + MINIMAL))
    assert found == Policy(failback=True, hold_down=1500, urgency=Urgency(near=2000, far_fall=7))


def test_every_setting_says_what_it_means() -> None:
    """No setting without a description; spans say that they are seconds."""
    for path, field in settings():
        assert field.description, path
        if path.startswith("timing."):
            assert "seconds" in field.description, path


plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
paths = st.sampled_from([path for path, _ in settings()])


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(paths, st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=20), max_size=4))
def test_whatever_the_environment_says_it_is_a_config_or_a_config_error(read: Loader, values: dict[str, str]) -> None:
    """No text in any variable gets out as another exception."""
    environ = {ENV_PREFIX + path.replace(".", "__").upper(): text for path, text in values.items()}
    try:
        assert isinstance(read(MINIMAL, environ), Config)
    except ConfigError as error:
        assert error.problems
        assert all(problem.strip() for problem in error.problems)


FAST = """
gate.public_key = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV"
timing.validity = 1.6
timing.renew = 0.2
timing.election = 0.5
timing.slack = 0.1
"""


def test_spans_are_judged_by_what_the_gate_means_for_them(read: Loader) -> None:
    """R3: with a gate that is required A is 0.2 s; off or on the same file is refused, by field and remedy."""
    spans = read(MINIMAL + FAST + 'gate.mode = "required"\n').spans
    assert (spans.margin, spans.promised) == (200, 2100)
    for mode in ("off", "on"):
        found = problems(read, MINIMAL + FAST + f'gate.mode = "{mode}"\n')
        assert any(each.startswith("timing.validity is 1.6 s but must be at least") for each in found)
        assert any(each.startswith("timing.slack is 0.1 s: set at least 0.3 s") for each in found)


def test_a_gate_mode_that_there_is_not_is_the_only_fault_told(read: Loader) -> None:
    """As long as it is not known what the gate means the spans are not judged by it."""
    (problem,) = problems(read, MINIMAL + FAST + 'gate.mode = "always"\n')
    assert problem.startswith("gate.mode")
