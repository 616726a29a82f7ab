"""The line to a server of sessions: what is said arrives in order, and a lost line is found again.

Two threads: one connects and listens, the other sends, so that neither waits for the other.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from neuron_widget.errors import ClusterError, NeuronWidgetError, WidgetError, first_line
from neuron_widget.remote.wire import SessionGone
from neuron_widget.session.jobs import THREAD_NAME
from neuron_widget.session.messages import Part

__all__ = ["Line", "Link", "Lost", "Server", "patiently"]

RETRY_S = (0.5, 1.0, 2.0, 5.0)
"""Seconds between two attempts to find the server again; the last goes on."""

_CATCH_UP_S = 10.0
_EXIT_S = 2.0


class Lost(Exception):
    """The server does not answer: it died, or the line to it broke."""


class Server(Protocol):
    """A server as a client sees it; each call raises :class:`Lost` or what is wrong."""

    def open(self, key: str, wish: dict[str, Any], client: str) -> dict[str, Any]:
        """Begin or find a session."""

    def batches(self, key: str, after: int) -> Iterator[tuple[int, list[Part]]]:
        """What it says, for a while."""

    def call(self, method: str, *given: Any) -> Any:
        """Any other method."""


class Line(Protocol):
    """Who has a link."""

    def wish(self) -> dict[str, Any]:
        """What to open: as things are now."""

    def said(self, parts: Sequence[Part]) -> None:
        """The server said something."""

    def found(self, *, known: bool, again: bool) -> None:
        """The session is there; ``again``: after it was lost, ``known``: as it was."""

    def lost(self, error: BaseException) -> None:
        """The server does not answer; it is looked for."""

    def failed(self, error: BaseException) -> None:
        """There is no session, and will be none."""


@dataclass
class _Sent:
    """One thing to send: a message of the page, or a call with an answer."""

    method: str
    given: tuple[Any, ...]
    answer: Future[Any] | None = None
    buffers: list[bytes] = field(default_factory=list)


class Link:
    """Keeps the line of one widget.

    Parameters
    ----------
    line
        Who hears what comes.
    reach
        Finds the server, or starts one; called in a thread of the link's, again after a loss.
    key, client
        The session's key, and whose it is.
    """

    def __init__(self, line: Line, reach: Callable[[], Server], key: str, client: str):
        self._line, self._reach = line, reach
        self._key, self._client = key, client
        self._server: Server | None = None
        self._heard = 0
        self._ended = False
        self._changed = threading.Condition()
        self._outgoing: queue.SimpleQueue[_Sent | None] = queue.SimpleQueue()
        self._before: list[_Sent] = []  # said before the first connection
        self._connected_once = False

    def begin(self) -> None:
        """Connect, in a thread of its own."""
        for work, name in ((self._listen, "hears"), (self._send_all, "sends")):
            threading.Thread(target=work, name=f"{THREAD_NAME} {name}", daemon=True).start()

    @property
    def connected(self) -> bool:
        """Whether the server answered when it was last spoken to."""
        return self._server is not None

    @property
    def connecting(self) -> bool:
        """Whether there was no connection yet."""
        return not self._connected_once and not self._ended

    # -------------------------------------------------------------- to the server

    def tell(self, message: dict[str, Any], buffers: Sequence[bytes | memoryview] = ()) -> bool:
        """Say a message of the page; False if nobody hears it now."""
        if not self.connected:
            return False
        self._outgoing.put(_Sent("tell", (message,), buffers=[bytes(b) for b in buffers]))
        return True

    def ask(self, method: str, *given: Any) -> Future[Any]:
        """Call a method of the server's, after what was said before it."""
        answer: Future[Any] = Future()
        with self._changed:
            sent = _Sent(method, given, answer)
            if self.connecting:
                self._before.append(sent)
            elif self._server is None:
                answer.set_exception(self._no_line())
            else:
                self._outgoing.put(sent)
        return answer

    def _no_line(self) -> NeuronWidgetError:
        if self._ended:
            return WidgetError(
                "this widget has no session any more: make another NeuronWidget(...)"
            )
        return ClusterError(
            "the connection to the server of this widget is lost; what is shown stays, and the "
            "session is looked for: try again when the page says that it is back"
        )

    def _send_all(self) -> None:
        while (sent := self._outgoing.get()) is not None:
            server = self._server
            if server is None:
                self._refuse(sent)
                continue
            # What the page said in one go, such as a slider's steps, goes in one call.
            parts, following = [], None
            if sent.method == "tell":
                while sent is not None and sent.method == "tell":
                    parts.append((sent.given[0], sent.buffers))
                    following = sent = self._next()
            try:
                if parts:
                    server.call("tell", self._key, parts)
                if following is not None or not parts:
                    self._call(server, following or sent)  # type: ignore[arg-type]
            except Lost as error:
                self._break(server, error)
                if following is not None:
                    self._refuse(following)
            except Exception as error:  # noqa: BLE001  # the session is gone there: it is found anew
                self._break(server, Lost(first_line(error)))

    def _next(self) -> _Sent | None:
        with contextlib.suppress(queue.Empty):
            found = self._outgoing.get_nowait()
            if found is None:
                self._outgoing.put(None)
            return found
        return None

    def _call(self, server: Server, sent: _Sent) -> None:
        assert sent.answer is not None
        try:
            sent.answer.set_result(server.call(sent.method, self._key, *sent.given))
        except (Lost, SessionGone):
            sent.answer.set_exception(self._no_line())
            raise
        except Exception as error:  # noqa: BLE001  # what is wrong with the call
            sent.answer.set_exception(error)

    def _refuse(self, sent: _Sent) -> None:
        if sent.answer is not None:
            sent.answer.set_exception(self._no_line())

    def caught_up(self, number: int) -> None:
        """Wait until what the server said up to this message has arrived."""
        if threading.current_thread().name.startswith(THREAD_NAME):
            return  # the thread that hears it
        with self._changed:
            self._changed.wait_for(
                lambda: self._heard >= number or self._server is None, _CATCH_UP_S
            )

    # -------------------------------------------------------------- from the server

    def _listen(self) -> None:
        attempt = 0
        while not self._ended:
            try:
                server = self._reach()
                opened = server.open(self._key, self._line.wish(), self._client)
            except Lost as error:
                if self.connecting:
                    self._fail(ClusterError(str(error)))
                    return
                self._rest(attempt)
                attempt += 1
                continue
            except Exception as error:  # noqa: BLE001  # what is wrong with the wish, or no Ray
                if self.connecting or not isinstance(error, ClusterError):
                    self._fail(error)
                    return
                self._rest(attempt)
                attempt += 1
                continue
            attempt = 0
            if self._ended:  # meanwhile
                self._close(server)
                return
            again = self._connected_once
            if not again:
                # After Ray's own, and so before it: what is open there would wait for us.
                atexit.register(self._at_exit)
            with self._changed:
                self._server, self._heard = server, opened["after"]
                self._connected_once = True
                before, self._before = self._before, []
                self._changed.notify_all()
            self._line.found(known=opened["known"], again=again)
            for sent in before:
                self._outgoing.put(sent)
            self._hear(server)

    def _hear(self, server: Server) -> None:
        try:
            while self._server is server and not self._ended:
                for number, parts in server.batches(self._key, self._heard):
                    if self._ended:
                        return
                    self._line.said(parts)
                    with self._changed:
                        self._heard = number
                        self._changed.notify_all()
        except Exception as error:  # noqa: BLE001  # also a session that is not there any more
            self._break(server, error)

    def _break(self, server: Server, error: BaseException) -> None:
        with self._changed:
            if self._server is not server:
                return
            self._server = None
            self._changed.notify_all()
        if not self._ended:
            self._line.lost(error)

    def _rest(self, attempt: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._ended, RETRY_S[min(attempt, len(RETRY_S) - 1)])

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._ended = True
            before, self._before = self._before, []
        for sent in before:
            if sent.answer is not None:
                sent.answer.set_exception(error)
        self._outgoing.put(None)
        self._line.failed(error)

    def end(self) -> None:
        """End the session there, and the threads here."""
        with self._changed:
            if self._ended:
                return
            self._ended = True
            server, self._server = self._server, None
            self._changed.notify_all()
        atexit.unregister(self._at_exit)
        self._outgoing.put(None)
        if server is not None:
            threading.Thread(target=self._close, args=(server,), daemon=True).start()

    def _at_exit(self) -> None:
        server, self._ended = self._server, True
        if server is not None:
            closing = threading.Thread(target=self._close, args=(server,), daemon=True)
            closing.start()
            closing.join(_EXIT_S)

    def _close(self, server: Server) -> None:
        with contextlib.suppress(Exception):
            server.call("close", self._key)


def patiently(answer: Future[Any], slice_s: float, meanwhile: Callable[[], None]) -> Any:
    """The answer; an interrupt is noticed while it is waited for."""
    while True:
        try:
            return answer.result(slice_s)
        except TimeoutError:
            if answer.done():
                return answer.result()
            meanwhile()
        time.sleep(0)
