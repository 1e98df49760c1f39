"""Whole groups of real parts: etcd, nodeos, agents, as operators run them."""
