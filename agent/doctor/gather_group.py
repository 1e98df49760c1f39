"""Reading the keys of the group."""

from __future__ import annotations

from agent.config.model import Config
from agent.core.model.keys import keys
from agent.core.model.records import read_group
from agent.doctor.facts import GroupFacts
from agent.doctor.gather_etcd import options
from agent.errors import StoreError
from agent.etcd.store import EtcdStore

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
