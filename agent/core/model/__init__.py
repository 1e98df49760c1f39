"""What is said: by nodeos, in etcd, in the run-time file, by operators. Plain data, and strict readers of it."""
