"""nodeos's options from config.ini and its command line. Text in, data out; private keys are dropped at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class Options:
    """nodeos's options by name, each with all its values. `sources`: where they were read. None of them is a secret.

    Of signature providers only the public keys are kept; `signers` has how each signs: PUBLIC=KEY or PUBLIC=KEOSD:URL.
    """

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: tuple[str, ...] = ()

    def on(self, name: str) -> bool:
        """Tell whether a switch is on; the command line is later than the file."""
        return name in self.values and self.last(name).lower() in ("true", "1", "yes", "on", "")

    def last(self, name: str, default: str = "") -> str:
        """Return the value of an option that counts once: a later one wins."""
        return (default, *self.values.get(name, ()))[-1]

    def number(self, name: str, default: int) -> int:
        """Return the value of an option that is a whole number; `default` where it is not given, or is none."""
        given = self.last(name)
        return int(given) if given.isdecimal() else default


KEPT = frozenset(
    {
        "pause-on-startup",
        "enable-stale-production",
        "http-server-address",
        "http-category-address",
        "unix-socket-path",
        "plugin",
        "producer-name",
        "signature-provider",
        "keosd-provider-timeout",
        "production-pause-vote-timeout-ms",
        "http-validate-host",
        "p2p-peer-address",
    }
)
"""What is looked at. Everything else is forgotten: some of it is secret."""
SIGNERS = "signers"
"""How each signature provider signs; no option of nodeos."""
SWITCHES = frozenset({"pause-on-startup", "enable-stale-production"})
_SHORT = {"-x": "pause-on-startup", "-e": "enable-stale-production", "-p": "producer-name"}


def of_ini(text: str) -> list[tuple[str, str]]:
    """Read config.ini: `name = value`, comments from # on."""
    found = []
    for line in text.splitlines():
        name, equals, value = line.partition("#")[0].partition("=")
        if equals and name.strip() in KEPT:
            found += _kept(name.strip(), value.strip())
    return found


def of_command_line(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Read what nodeos was started with: `--name value`, `--name=value`, and switches without a value."""
    found = []
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        name = _SHORT.get(name, name.removeprefix("--") if name.startswith("--") else "")
        if name not in KEPT:
            continue
        following = arguments[place + 1] if place + 1 < len(arguments) else ""
        if not equals and following and not following.startswith("-"):
            value = following
        if name in SWITCHES and value.lower() not in ("true", "false", "0", "1"):
            value = "true"
        found += _kept(name, value)
    return found


def config_file_of(arguments: Sequence[str], home: str, cwd: str) -> PurePosixPath:
    """Return where nodeos reads its config.ini, by its own rules."""
    given = {"--config-dir": "", "--config": "config.ini", "-c": "config.ini"}
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in given:
            given[name] = value if equals else (arguments[place + 1] if place + 1 < len(arguments) else "")
    default = PurePosixPath(home) / ".local/share/eosio/nodeos/config"
    directory = PurePosixPath(cwd) / given["--config-dir"] if given["--config-dir"] else default
    file = given["-c"] if given["-c"] != "config.ini" else given["--config"]
    return directory / file


def merged(found: Iterable[tuple[str, str]], sources: Sequence[str]) -> Options:
    """Return all options, the later after the earlier."""
    values: dict[str, tuple[str, ...]] = {}
    for name, value in found:
        values[name] = (*values.get(name, ()), value)
    return Options(values, tuple(sources))


def _kept(name: str, value: str) -> list[tuple[str, str]]:
    """Return what may be kept of a value: of `PUBLIC=KEY:PRIVATE` the public key, and that nodeos has the other."""
    if name != "signature-provider":
        return [(name, value)]
    key, _, way = (part.strip() for part in value.partition("="))
    return [(name, key), (SIGNERS, f"{key}={way}" if way.startswith("KEOSD:") else f"{key}=KEY")]
