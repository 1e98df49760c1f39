"""`python -m agent` is `nodeos-failover`."""

from agent.entry import main

if __name__ == "__main__":
    main()
