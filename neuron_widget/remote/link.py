"""The line to a server of sessions: what is said arrives in order, and a lost line is found again.

Two threads: one connects and listens, the other sends, so that neither waits for the other.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from neuron_widget.errors import ClusterError, NeuronWidgetError, WidgetError
from neuron_widget.remote.wire import SessionGone
from neuron_widget.session.jobs import THREAD_NAME
from neuron_widget.session.messages import Part

__all__ = ["Line", "Link", "Lost", "Server", "patiently"]

_log = logging.getLogger(__name__)

RETRY_S = (0.5, 1.0, 2.0, 5.0)
"""Seconds between two attempts to find the server again; the last goes on."""

_CATCH_UP_S = 10.0
_SLICE_S = 0.2
_EXIT_S = 2.0


class Lost(Exception):
    """The server does not answer: it died, or the line to it broke."""


class Server(Protocol):
    """A server as a client sees it; each method raises :class:`Lost` or what is wrong."""

    def call(self, method: str, *given: Any) -> Any:
        """Call one of :data:`.server.CALLS`."""

    def batches(self, key: str, after: int) -> Iterator[tuple[int, list[Part]]]:
        """What a session says after the message of that number, for a while."""


class Line(Protocol):
    """Who has a link. Each method but :meth:`wish` is called in the thread that hears."""

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
        self._changed = threading.Condition()  # of the next five
        self._server: Server | None = None
        self._why: BaseException | None = None
        self._heard = 0
        self._ended = False
        self._before: list[_Sent] | None = []  # said before the first connection; then None
        self._outgoing: queue.SimpleQueue[_Sent | None] = queue.SimpleQueue()

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
        return self._before is not None

    # -------------------------------------------------------------- to the server

    def tell(self, message: dict[str, Any], buffers: Sequence[bytes | memoryview] = ()) -> bool:
        """Say a message of the page; False if nobody will hear it."""
        return self._say(_Sent("tell", (message, [bytes(b) for b in buffers])))

    def ask(self, method: str, *given: Any) -> Future[Any]:
        """Call a method of the server's, after what was said before it."""
        answer: Future[Any] = Future()
        sent = _Sent(method, given, answer)
        if not self._say(sent):
            self._refuse(sent)
        return answer

    def _say(self, sent: _Sent) -> bool:
        with self._changed:
            if self._before is not None:
                self._before.append(sent)
            elif self._server is not None:
                self._outgoing.put(sent)
            else:
                return False
        return True

    def _refuse(self, sent: _Sent, error: BaseException | None = None) -> None:
        if sent.answer is not None:
            sent.answer.set_exception(error or self._no_line())

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
            # What the page said in one go, such as a slider's steps, goes in one call.
            parts = []
            while sent is not None and sent.method == "tell":
                parts.append(sent.given)
                sent = self._more()
            if parts:
                self._call(_Sent("tell", (parts,)))
            if sent is None:
                continue
            if sent.method == "answer":  # may take long, and the page has more to say
                threading.Thread(
                    target=self._call, args=(sent,), name=f"{THREAD_NAME} asks", daemon=True
                ).start()
            else:
                self._call(sent)

    def _more(self) -> _Sent | None:
        """What else is to be sent at this moment."""
        with contextlib.suppress(queue.Empty):
            found = self._outgoing.get_nowait()
            if found is None:
                self._outgoing.put(None)  # the end, which is not lost
            return found
        return None

    def _call(self, sent: _Sent) -> None:
        server = self._server
        if server is None:
            self._refuse(sent)
            return
        try:
            found = server.call(sent.method, self._key, *sent.given)
        except (Lost, SessionGone) as error:
            self._break(server, error)
            self._refuse(sent)
        except Exception as error:  # noqa: BLE001  # what is wrong with the call
            if sent.answer is None:
                _log.exception("the server did not take what the page said")
            self._refuse(sent, error)
        else:
            if sent.answer is not None:
                sent.answer.set_result(found)

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
                opened = server.call("open", self._key, self._line.wish(), self._client)
            except Exception as error:  # noqa: BLE001  # told to the line
                if self.connecting or not isinstance(error, Lost | ClusterError):
                    self._fail(ClusterError(str(error)) if isinstance(error, Lost) else error)
                    return
                self._rest(attempt)
                attempt += 1
                continue
            attempt = 0
            if not self._connect(server, opened):
                self._close(server)
                return
            self._hear(server)
            if not self._ended:
                assert self._why is not None
                self._line.lost(self._why)

    def _connect(self, server: Server, opened: dict[str, Any]) -> bool:
        """Whether there is a line now: not if the link was ended meanwhile."""
        with self._changed:
            if self._ended:
                return False
            self._server, self._heard, self._why = server, opened["after"], None
            before, self._before = self._before, None
            for sent in before or ():
                self._outgoing.put(sent)
            self._changed.notify_all()
        if before is not None:
            # After Ray's own, and so before it: what is open there would wait for us.
            atexit.register(self._at_exit)
        self._line.found(known=opened["known"], again=before is None)
        return True

    def _hear(self, server: Server) -> None:
        """Pass on what the server says until it is lost."""
        try:
            while self._server is server:
                for number, parts in server.batches(self._key, self._heard):
                    if self._server is not server:
                        return
                    self._line.said(parts)
                    with self._changed:
                        self._heard = number
                        self._changed.notify_all()
        except Exception as error:  # noqa: BLE001  # also a session that is not there any more
            self._break(server, error)

    def _break(self, server: Server, error: BaseException) -> None:
        """The server is lost; the thread that hears says so."""
        with self._changed:
            if self._server is server:
                self._server, self._why = None, error
                self._changed.notify_all()

    def _rest(self, attempt: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._ended, RETRY_S[min(attempt, len(RETRY_S) - 1)])

    def _fail(self, error: BaseException) -> None:
        for sent in self._end():
            self._refuse(sent, error)
        self._line.failed(error)

    def end(self) -> None:
        """End the session there, and the threads here."""
        server = self._server
        atexit.unregister(self._at_exit)
        for sent in self._end():
            self._refuse(sent)
        if server is not None:
            threading.Thread(target=self._close, args=(server,), daemon=True).start()

    def _end(self) -> list[_Sent]:
        """No further thread begins; what was not sent."""
        with self._changed:
            self._ended, self._server = True, None
            before, self._before = self._before, None
            self._changed.notify_all()
        self._outgoing.put(None)
        return before or []

    def _at_exit(self) -> None:
        server, self._ended = self._server, True
        if server is not None:
            closing = threading.Thread(target=self._close, args=(server,), daemon=True)
            closing.start()
            closing.join(_EXIT_S)

    def _close(self, server: Server) -> None:
        with contextlib.suppress(Exception):
            server.call("close", self._key)


def patiently(answer: Future[Any]) -> Any:
    """The answer; an interrupt is noticed while it is waited for."""
    while True:
        try:
            return answer.result(_SLICE_S)
        except TimeoutError:
            if answer.done():
                return answer.result()
