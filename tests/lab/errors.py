"""The lab's own errors; nothing else. They are FailoverErrors, so what catches those catches them too."""

from agent.errors import FailoverError


class LabError(FailoverError):
    """A part of the lab did not do what was asked. The message names the part, its log and what to look at."""


class LabUnavailable(LabError):
    """The machine cannot run the real part: no binary for it, or none could be fetched. Says why, and the remedy.

    A caller may fall back to the simulated nodeos.
    """


class LabTimeout(LabError):
    """A part was not ready, or a condition not met, within its total deadline."""
