"""`python -m agent` is `nodeos-failover`."""

from agent.cli import main

if __name__ == "__main__":
    main()
