"""The port `Store` on etcd. Every foreign error becomes one of `agent.errors` here."""
