"""`python -m agent.guard FILE AGENT_PID` is how an agent starts its guard."""

import sys

from agent.guard.guard import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
