"""A kernel that ends while a widget has much to say."""

from __future__ import annotations

import json
import time

import pytest
from jupyter_client.manager import KernelManager

pytestmark = pytest.mark.kernel

LIMIT = 120

# Python calls what was registered last first: the second of sleep is that of work which ends.
CELL = """
import atexit, threading, time
from ipywidgets import DOMWidget
from neuron_widget.notebook import HeardWhereSent
class Said(HeardWhereSent, DOMWidget):
    pass
atexit.register(time.sleep, 1)
def talk():
    while True:
        w.send({"kind": "frame"}, [bytes(200_000)])
        w.send({"kind": "progress"})
        time.sleep(0.002)
w = Said()
threading.Thread(target=talk, daemon=True).start()
"""


def test_no_message_is_torn() -> None:
    manager = KernelManager()
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=LIMIT)
        client.execute_interactive(CELL, timeout=LIMIT)
        client.shutdown(restart=True)
        socket, large = client.iopub_channel.socket, 0
        end = time.monotonic() + LIMIT
        while manager.is_alive() or socket.poll(500):
            assert time.monotonic() < end, "the kernel does not end"
            if not socket.poll(100):
                continue
            parts = socket.recv_multipart()
            # Topic, delimiter, signature, then four parts of JSON, then buffers.
            assert parts[1] == b"<IDS|MSG>"
            assert parts.count(b"<IDS|MSG>") == 1, [part[:80] for part in parts]
            assert all(isinstance(json.loads(part), dict) for part in parts[3:7])
            large += any(len(part) == 200_000 for part in parts[7:])
        assert large > 0
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
