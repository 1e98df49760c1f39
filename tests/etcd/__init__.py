"""The store, against real etcd where it matters."""
