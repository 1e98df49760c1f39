"""What agents tell each other beside etcd."""
