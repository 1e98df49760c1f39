"""Whether the world is reached: how many must answer, for how long is waited, and that all connections are closed."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Iterator

import pytest

from agent.host.deadline import Deadline
from agent.keepalived.reach import Reach, address
from tests.support.moved_time import MovedTime

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def there() -> Iterator[tuple[str, int]]:
    """Yield an address that accepts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[:2]


@pytest.fixture
def refuses() -> tuple[str, int]:
    """Return an address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        found: tuple[str, int] = server.getsockname()[:2]
    return found


def test_more_than_half_must_be_reached(there: tuple[str, int], refuses: tuple[str, int]) -> None:
    """Of none, none; of two, two; of three, two: half is what both sides of a cut may have."""
    for number, enough in enumerate((0, 1, 2, 2, 3, 3)):
        reach = Reach([there] * number)
        assert reach.enough == enough
        assert reach.count(Deadline(10.0)) >= enough
    assert Reach([there, refuses]).count(Deadline(10.0)) == 1
    assert Reach([refuses, refuses]).count(Deadline(10.0)) == 0


def test_a_refusal_is_not_waited_for(refuses: tuple[str, int], moved: MovedTime) -> None:
    """What has answered counts at once, also with no time left; a connection that stands counts then, too."""
    assert Reach([refuses]).count(Deadline(0.0)) == 0
    assert moved.passed_s == 0


def test_an_address_is_ip_and_port() -> None:
    """No names, and a port that exists."""
    assert address("127.0.0.1:80") == ("127.0.0.1", 80)
    assert address("[::1]:65535") == ("::1", 65535)
    for wrong in ("localhost:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "::1:80", "[127.0.0.1]:80", "a:b"):
        with pytest.raises(argparse.ArgumentTypeError, match="no names"):
            address(wrong)
