"""Reading the keys of the group."""

from __future__ import annotations

from agent.adapters.etcd import EtcdStore
from agent.config import Config
from agent.core.records import keys, read_group
from agent.doctor.facts import GroupFacts
from agent.doctor.gather_etcd import options
from agent.errors import StoreError

MOST_S = 4.0


def gather(config: Config, within_s: float) -> GroupFacts:
    """Read the group within `within_s` seconds."""
    store, names = EtcdStore(options(config)), keys(config.etcd.prefix, config.group)
    try:
        return GroupFacts(read_group(names, store.range(names.root, min(MOST_S, within_s))))
    except StoreError as error:
        return GroupFacts(error=str(error))
    finally:
        store.close()
