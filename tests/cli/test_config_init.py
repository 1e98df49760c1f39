"""`config init`: from config.ini to a configuration that validates, and the lines that config.ini still lacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.cli.config_init import lacks, urls
from agent.cli.main import main
from agent.config.load import load
from agent.nodeos.config_ini import merged, of_ini

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "nodeos"
KEY = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV"
PRIVATE = "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3"  # the well-known development key
BARE = f"""
http-server-address = 0.0.0.0:8888
producer-name = myproducer11
signature-provider = {KEY}=KEY:{PRIVATE}
plugin = eosio::chain_api_plugin
enable-stale-production = true
"""
BY_CATEGORY = """
http-server-address = http-category-address
http-category-address = chain_ro,0.0.0.0:80
http-category-address = producer_rw,./p.sock
"""
ANSWERS = ("--group", "eos-mainnet", "--node", "bp-a", "--etcd", "http://10.0.0.1:2379, http://10.0.0.2:2379")


@pytest.fixture
def ini(tmp_path: Path) -> Path:
    """Return a config.ini where nodeos has it by default, beside its data directory."""
    (tmp_path / "config").mkdir()
    (tmp_path / "data/blocks").mkdir(parents=True)
    path = tmp_path / "config/config.ini"
    path.write_text(BARE)
    return path


def init(ini: Path, *arguments: str) -> Result:
    """Run the command; the configuration goes beside."""
    to = ini.parent / "config.toml"
    return CliRunner().invoke(main, ["config", "init", "--from", str(ini), "--config", str(to), *arguments])


def test_a_bare_producer_gets_a_configuration_that_validates(ini: Path) -> None:
    """Values of config.ini arrive under our names, its lacks are told as lines, and no private key goes anywhere."""
    result = init(ini, *ANSWERS, "--unit", "nodeos.service")
    assert result.exit_code == 0, result.output
    file = ini.parent / "config.toml"
    config = load(file, {})
    assert (config.group, config.node, config.producer) == ("eos-mainnet", "bp-a", "myproducer11")
    assert config.nodeos.url == "http://127.0.0.1:8888"
    assert (config.nodeos.producer_key, config.nodeos.config_file) == (KEY, ini)
    assert config.nodeos.data_dir == ini.parent.parent / "data"
    assert config.etcd.endpoints == ("http://10.0.0.1:2379", "http://10.0.0.2:2379")
    assert config.fence.unit == "nodeos.service"
    assert file.stat().st_mode & 0o777 == 0o640
    assert PRIVATE not in result.output + file.read_text()
    wanted = [
        "pause-on-startup = true",
        "plugin = eosio::producer_api_plugin",
        "plugin = eosio::net_api_plugin",
        "p2p-peer-address = HOST:PORT",
        "http-server-address = 127.0.0.1:8888",
    ]
    assert [line.split("    #")[0].strip() for line in result.stderr.splitlines() if "    #" in line] == wanted
    assert "take enable-stale-production out" in result.stderr
    assert "still lacks" in result.stderr


@pytest.mark.parametrize("name", ["config-leap-3-4.ini", "config-leap-5-spring.ini"])
def test_what_the_documents_give_lacks_nothing(name: str, ini: Path) -> None:
    """The files of deploy/nodeos are understood as a whole, listeners by category too."""
    text = (DEPLOY / name).read_text()
    ini.write_text(text)
    result = init(ini, *ANSWERS)
    assert result.exit_code == 0, result.output
    assert result.stderr == f"{ini} lacks nothing\n"
    config = load(ini.parent / "config.toml", {})
    assert config.nodeos.url == "http://127.0.0.1:8888"
    assert config.nodeos.producer_url == ("http://127.0.0.1:8889" if "category" in text else None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ("http://127.0.0.1:8888", "")),
        ("http-server-address = [::]:80", ("http://[::1]:80", "")),
        ("http-server-address = 10.0.0.9:8888", ("http://10.0.0.9:8888", "")),
        ("http-server-address =\nunix-socket-path = nodeos.sock", ("unix:///d/nodeos.sock", "")),
        ("http-server-address =\nunix-socket-path = /run/n.sock", ("unix:///run/n.sock", "")),
        (
            BY_CATEGORY,
            ("http://127.0.0.1:80", "unix:///d/p.sock"),
        ),
    ],
)
def test_where_nodeos_answers_is_read(text: str, found: tuple[str, str]) -> None:
    """Its default, any address, IPv6, sockets below the data directory, and listeners by category."""
    assert urls(merged(of_ini(text), []), Path("/d")) == found


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("http-server-address = 0.0.0.0:8888", "http-server-address = 127.0.0.1:8888"),
        ("http-server-address = [::]:8888", "http-server-address = 127.0.0.1:8888"),
        (
            "http-server-address = http-category-address\nhttp-category-address = producer_rw,:8889",
            "http-category-address = producer_rw,127.0.0.1:8889",
        ),
    ],
)
def test_a_producer_api_that_is_open_is_told(text: str, line: str) -> None:
    """Who reaches the producer API can pause and resume: it has to listen on this host alone."""
    assert line in [each.line for each in lacks(merged(of_ini(text), []))]


def test_nothing_is_written_over_or_by_halves(ini: Path) -> None:
    """A file that is there stays without --force; answers that do not validate write nothing; - prints."""
    file = ini.parent / "config.toml"
    file.write_text("mine")
    assert init(ini, *ANSWERS).exit_code == 6
    wrong = init(ini, "--group", "EOS", "--node", "bp-a", "--etcd", "https://x:1", "--force")
    assert wrong.exit_code == 3
    assert "group: 'EOS' is no name" in wrong.stderr
    assert "etcd.ca_file is missing" in wrong.stderr
    assert file.read_text() == "mine"
    printed = init(ini, *ANSWERS, "--config", "-")
    assert printed.exit_code == 0
    assert printed.stdout.startswith("# made from ")
    assert init(ini, *ANSWERS, "--force").exit_code == 0
    assert file.read_text() == printed.stdout


def test_what_is_missing_is_asked_for_where_a_person_is(ini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the questions have defaults; without one the option is named."""
    assert "--group is missing, and nobody is there to ask" in init(ini).stderr
    asked: list[str] = []

    def prompt(text: str, default: str | None = None, **_: object) -> str:
        asked.append(text)
        return default or "http://10.0.0.1:2379"

    monkeypatch.setattr("click.prompt", prompt)
    monkeypatch.setattr("agent.cli.config_init.attended", lambda: True)
    assert init(ini, "--node", "bp-a").exit_code == 0
    assert load(ini.parent / "config.toml", {}).group == "myproducer11"
    assert len(asked) == 2


@pytest.mark.parametrize("kind", ["missing", "directory"])
def test_a_config_ini_that_cannot_be_read_is_told(ini: Path, kind: str) -> None:
    """Exit code 3, with the option and the remedy."""
    ini.unlink()
    if kind == "directory":
        ini.mkdir()
    result = init(ini, *ANSWERS)
    assert result.exit_code == 3
    assert re.search("--from: ", result.stderr)
