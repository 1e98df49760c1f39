"""Who listens, read from the tables of the kernel: what it costs where there are many sockets."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from agent.nodeos.listener import tcp_listeners

SOCKET = "{:4}: 0100007F:1F90 {} {} 00000000:00000000 00:00000000 00000000     0        0 {} 1 0 100 0 0 10 0\n"


def test_a_long_table_of_sockets_is_read_a_line_at_a_time(tmp_path: Path) -> None:
    """Four times a second while nodeos is away: each reading of the whole table left holes in the heap, for good."""
    with (tmp_path / "tcp").open("w") as table:
        table.write(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        )
        table.writelines(SOCKET.format(each, "00000000:0000", "01" if each else "0A", each + 7) for each in range(9000))
    assert (tmp_path / "tcp").stat().st_size > 1_000_000
    tracemalloc.start()
    try:
        assert list(tcp_listeners(tmp_path)) == [("0100007F:1F90", "7")], "and without tcp6 there is no IPv6"
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
