"""The command line, `nodeos-failover`. Commands only read arguments, call one thing and print; nothing is decided here.

main    the group of commands, those with one line of work, and where errors become exit codes
config  validate, show, schema
fence   fence and guard, which agent.entry starts without this package
status  how the group is
"""

from agent.cli.main import main

__all__ = ["main"]
