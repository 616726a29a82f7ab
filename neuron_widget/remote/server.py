"""Sessions of many clients on one GPU: one copy of the network, one worker, one store.

It is an ordinary class: Ray runs it in a process of its own, and its calls in threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import WrongValue
from neuron_widget.remote.answers import ANSWERS
from neuron_widget.remote.desk import Desk
from neuron_widget.remote.rules import Rules
from neuron_widget.remote.wire import SessionGone
from neuron_widget.session.jobs import Worker
from neuron_widget.session.messages import Part
from neuron_widget.session.together import Together
from neuron_widget.store import open_store

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel

__all__ = ["AWAY_S", "CALLS", "Sessions"]

CALLS = ("open", "tell", "command", "answer", "close", "who", "facts")
"""Methods that are called from outside, besides those that wait for something to say."""

AWAY_S = 600.0
"""Seconds that the session of a client that is not heard of is kept."""

SILENT_S = 45.0
"""Seconds after which nobody is thought to look on: work ends, and what there is stays."""

STREAM_S = 20.0
"""Seconds after which a stream ends and the client asks for the next: so that it is heard of."""

LEAVE_S = 600.0
"""Seconds without any session after which a server that nobody looks after ends itself."""

_TIDY_S = 5.0
_BATCHES = 64  # of one stream: Ray keeps account of each
_LONGEST_KEY = 100


class Sessions:
    """Sessions by the key that only their client knows.

    Parameters
    ----------
    rules
        What clients may ask for.
    leave
        Called when there was no session for a while, where nobody looks after the server.
    """

    def __init__(self, rules: Rules | None = None, leave: Callable[[], None] | None = None):
        self._rules = rules or Rules()
        self._leave = leave
        self._lock = threading.RLock()
        self._desks: dict[str, Desk] = {}
        self._worker = Worker(fair=True)
        self._networks = Networks()
        self._together = Together()
        self._store = open_store(self._rules.store)
        if self._store is not None:
            self._store.locks.take_turns = True
        self._empty_since = time.monotonic()
        self._ended = threading.Event()
        threading.Thread(target=self._tidy, name="sessions-tidy", daemon=True).start()

    # -------------------------------------------------------------- clients

    def open(self, key: str, wish: dict[str, Any], client: str = "") -> dict[str, Any]:
        """Begin a session, or find the one of this key; say from where to listen.

        Raises what is wrong with the wish, and WrongValue if there is no room.
        """
        if not isinstance(key, str) or not 16 <= len(key) <= _LONGEST_KEY:
            raise WrongValue("a session is known by a key of its client's own")
        client = str(client)[:_LONGEST_KEY]
        with self._lock:
            desk = self._desks.get(key)
        known = desk is not None
        if desk is None:
            # Not under the lock: a data set's path is looked at, on a disk that may be slow.
            settings = self._rules.settings(wish, self._store or False)
            with self._lock:
                desk = self._desks.get(key)  # asked for twice
                if desk is None:
                    self._check_room(client)
                    common = (self._rules, self._worker, self._networks.load, self._together)
                    desk = self._desks[key] = Desk(client, settings, *common)
        return {"known": known, "after": desk.greet()}

    def _check_room(self, client: str) -> None:
        now = time.monotonic()
        own = sum(
            desk.client == client and now - desk.heard < SILENT_S for desk in self._desks.values()
        )
        if self._rules.views is not None and own >= self._rules.views:
            raise WrongValue(
                f"{client or 'this client'} has {own} widgets at work here already, which is the "
                "limit; close one: w.close(), or end the kernel of another notebook. One that was "
                f"killed counts for another {SILENT_S:.0f} s"
            )
        if len(self._desks) >= self._rules.sessions:
            raise WrongValue(f"there are {len(self._desks)} sessions here, which is the limit")

    def tell(self, key: str, parts: Sequence[tuple[object, Sequence[bytes]]]) -> int:
        """Messages of a client's page, in order; the number of the last that it is to hear."""
        desk = self._desk(key)
        desk.hear(parts)
        return desk.last

    def command(self, key: str, name: str, given: dict[str, Any]) -> tuple[Any, int]:
        """What Python asks; see :meth:`.Desk.command`. And the number of the last message."""
        desk = self._desk(key)
        found = desk.command(name, given)
        return found, desk.last

    def answer(self, key: str, name: str, given: dict[str, Any]) -> Any:
        """What a session knows; see :data:`.answers.ANSWERS`."""
        desk = self._desk(key)
        if name not in ANSWERS:
            raise ValueError(f"no session answers {name!r}")
        return ANSWERS[name](desk, given)

    async def stream(self, key: str, after: int) -> AsyncIterator[tuple[int, list[Part]]]:
        """What a session has to say, as it says it; it ends after a while: ask for the next one."""
        desk = self._desk(key)
        end, greeted = time.monotonic() + STREAM_S, desk.greeted
        for _ in range(_BATCHES):
            left = end - time.monotonic()
            if left <= 0 or desk.greeted != greeted or self._desks.get(key) is not desk:
                return
            last, parts = await desk.take(after, left)
            if parts:
                after = last
                yield last, parts

    async def take(self, key: str, after: int) -> tuple[int, list[Part]]:
        """The next that a session has to say, for clients that Ray gives no streams."""
        return await self._desk(key).take(after, STREAM_S / 2)

    def close(self, key: str) -> None:
        """End a session."""
        with self._lock:
            desk = self._desks.pop(key, None)
            self._empty_since = time.monotonic()
        if desk is not None:
            desk.close()

    def end(self) -> None:
        """End all sessions, and the worker."""
        self._ended.set()
        for key in list(self._desks):
            self.close(key)
        self._worker.close()

    def _desk(self, key: str) -> Desk:
        desk = self._desks.get(key)
        if desk is None:
            raise SessionGone("the session is not there any more")
        return desk

    # -------------------------------------------------------------- who looks after it

    def who(self) -> list[dict[str, Any]]:
        """Clients, what each shows, and what it waits for."""
        now = time.monotonic()
        with self._lock:
            desks = list(self._desks.values())
        return [
            {
                "client": desk.client,
                "target": str(desk.session.state.target),
                "status": desk.session.state.status,
                "doing": desk.doing(),
                "silent": now - desk.heard,
            }
            for desk in desks
        ]

    def facts(self) -> dict[str, Any]:
        """How many sessions there are, and of what."""
        return {
            "pid": os.getpid(),
            "sessions": len(self._desks),
            "networks": len(self._networks),
            "served": self._leave is None,
        }

    def _tidy(self) -> None:
        while not self._ended.wait(_TIDY_S):
            now = time.monotonic()
            with self._lock:
                silent = {key: now - desk.heard for key, desk in self._desks.items()}
                away = [self._desks[key] for key, since in silent.items() if since > SILENT_S]
                empty = not self._desks and now - self._empty_since > LEAVE_S
            for desk in away:
                desk.nobody_looks()
            for key, since in silent.items():
                if since > AWAY_S:
                    self.close(key)
            if empty and self._leave is not None:
                self._leave()
            _give_back()


def _give_back() -> None:
    """Give the machine the memory that nothing uses any more: of twelve renderings 190 MB.

    The C library would keep it, as holes between what each session has.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # not the C library of GNU
        ctypes.CDLL(None).malloc_trim(0)


class Networks:
    """Networks that are open, each once; sessions get siblings that share its weights."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str, str], tuple[VisionModel, weakref.WeakSet[Any]]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def load(
        self, model: Any, *, weights: Any, device: Any, report: Callable[[str], None]
    ) -> VisionModel:
        """As ``load_model``. Networks that nobody looks into any more make room for others."""
        from neuron_widget.networks.zoo import load_model

        name = (str(model), str(weights), str(device))
        with self._lock:
            if name not in self._open:
                for other, (_, used) in list(self._open.items()):
                    if not used:
                        del self._open[other]
                opened = load_model(model, weights=weights, device=device, report=report)
                _ = opened.layers, opened.identity
                opened.unchanging = True
                self._open[name] = opened, weakref.WeakSet()
            opened, used = self._open[name]
            sibling = opened.sibling()
            used.add(sibling)
            return sibling
