"""Stands for any adapter, and records what it is asked: the last argument of most calls is a deadline in seconds."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from tests.support.moved_time import MovedTime


class Recorder:
    """Notes each call with its arguments, and answers, or raises, what the test says.

    `says` is one answer for all, or a dict by the name of the method, with a list where the answers differ (the last
    one stays); a function is called for its answer. With a `time` each call takes `takes_ms` of it.
    `at`: when (ms) each call began.
    """

    def __init__(self, says: Any = None, time: MovedTime | None = None, takes_ms: int = 0) -> None:
        self.says = says
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.at: list[int] = []
        self._time = time
        self._takes_ms = takes_ms

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*arguments: Any, **named: Any) -> Any:
            self.calls.append((name, (*arguments, *named.values())))
            if self._time is not None:
                self.at.append(self._time.now)
                self._time.go(self._takes_ms)
            said = self.says.get(name) if isinstance(self.says, dict) else self.says
            if isinstance(said, list):
                said = said.pop(0) if len(said) > 1 else said[0]
            if isinstance(said, FunctionType):
                said = said()
            if isinstance(said, BaseException):
                raise said
            return said

        return call

    @property
    def names(self) -> list[str]:
        """What was asked, in order."""
        return [name for name, _ in self.calls]

    @property
    def spans(self) -> list[Any]:
        """The last argument of each call: its deadline."""
        return [arguments[-1] for _, arguments in self.calls if arguments]
