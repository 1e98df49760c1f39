"""The method without etcd."""
