"""The command line: what it refuses, what it puts into etcd, and how it looks."""
