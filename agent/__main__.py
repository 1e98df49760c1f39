"""`python -m agent` is `nodeos-failover`."""

from agent.main import main

if __name__ == "__main__":
    main()
