"""The method without etcd: `check --local`, and `keepalived-notify`, which follows keepalived's word."""
