"""Ports for the clouds that tests start."""

from __future__ import annotations

import random
import socket

# Below what the kernel gives to outgoing connections: a client that waits for a server on such a port may
# otherwise be connected to itself.
_RANGE = range(15_000, 30_000)


def free_port() -> int:
    """A port with a free one after it: the demo provider's place."""
    while True:
        port = random.choice(_RANGE)
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
