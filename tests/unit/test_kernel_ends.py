"""A kernel that ends: what its threads have to say must not tear the last messages."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from ipywidgets import DOMWidget

from neuron_widget.notebook import HeardWhereSent


class Said(HeardWhereSent, DOMWidget):
    """A widget of ours."""


@pytest.mark.parametrize("alive", [True, False])
def test_a_kernel_that_has_ended_its_sending_thread_is_told_nothing(
    alive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    if alive:
        thread.start()
    shell = SimpleNamespace(
        kernel=SimpleNamespace(
            iopub_socket=SimpleNamespace(io_thread=SimpleNamespace(thread=thread))
        )
    )
    widget, sent = Said(), []
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    monkeypatch.setattr(DOMWidget, "_send", lambda _self, msg, _buffers=None: sent.append(msg))
    widget.send({"kind": "frame"})
    stop.set()
    assert len(sent) == alive
    monkeypatch.undo()
    widget.close()
