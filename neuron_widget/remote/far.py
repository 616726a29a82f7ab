"""A session on another machine, as a widget sees it: :class:`.WidgetSession`."""

from __future__ import annotations

import getpass
import io
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from neuron_widget.errors import (
    ClusterError,
    DatasetError,
    NeuronWidgetError,
    WidgetError,
)
from neuron_widget.names import check_neuron
from neuron_widget.remote.far_results import WithResults
from neuron_widget.remote.link import Link, Server, patiently
from neuron_widget.remote.mirror import Mirror
from neuron_widget.remote.wire import error_of
from neuron_widget.session import Settings, messages
from neuron_widget.session.export import python_line
from neuron_widget.session.messages import Message, Part
from neuron_widget.settings import page_settings
from neuron_widget.targets import Channel

__all__ = ["FarSession"]

_log = logging.getLogger(__name__)

LOST = "The connection is lost"
_STAYS = (
    "The server of this widget does not answer: it ended, or the network to it is down. What is "
    "shown stays; the session is looked for, and goes on when it is found."
)


@dataclass(eq=False)
class FarJob:
    """Work on the other machine that is waited for here."""

    task: str
    finished: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class FarSession(WithResults):
    """See :class:`.WidgetSession`; what it shows is kept here, the work is elsewhere.

    Parameters
    ----------
    wish
        As :func:`.wire.wish_of` makes it.
    settings
        The same for the page here, until the server says more.
    address
        As the user named it.
    reach
        Finds the server; called in a thread.
    send, on_change
        As of :class:`.Session`.
    """

    def __init__(
        self,
        wish: dict[str, Any],
        settings: Settings,
        address: str,
        reach: Callable[[], Server],
        send: Callable[[Message, list[bytes]], None],
        on_change: Callable[[], None],
    ):
        self.state = Mirror(settings, send, on_change)
        self._wish = wish
        self._address = address
        self._lock = threading.Lock()
        self._jobs: dict[int, FarJob] = {}
        self._opening = FarJob("open")
        self._views: dict[str, bool] = {}
        self._chosen = False
        self._changed: set[str] = set()
        self._asked_for = ""
        self._lost: Message | None = None
        self._link = Link(self, reach, secrets.token_hex(16), _client())
        self.state.show("configured", messages.configured(settings))
        self.state.show("network", messages.opening(f"Connecting to the cluster ({address})"))
        self._link.begin()

    # -------------------------------------------------------------- for the link

    def wish(self) -> dict[str, Any]:
        """What to open: as things are now."""
        state = self.state
        if not self._chosen:
            return self._wish
        # What the network makes of a setting that is left to it is not said.
        told = {n: v for n, v in self._configured().items() if n in self._changed}
        options = {**self._wish["options"], "steps": state.steps, **told}
        return {**self._wish, "layer": str(state.target), "options": options}

    def _configured(self) -> dict[str, Any]:
        """Settings as the page shows them."""
        shown = self.state._shown.get("configured", {}).get("settings", {})
        return {n: s.from_page(shown[n]) for n, s in page_settings().items() if n in shown}

    def said(self, parts: Sequence[Part]) -> None:
        """The server said something."""
        for message, buffers in parts:
            kind = message["kind"]
            if kind == "session.done":
                self._end(message["job"], error_of(message["error"]))
                continue
            if kind == "session.state":
                self.state.problem = error_of(message["problem"])
            if kind == "dataset" and self._asked_for:
                self._wish = {**self._wish, "dataset": self._asked_for}
                self._asked_for = ""
            try:
                self.state.hear(message, list(buffers))
            except Exception:  # noqa: BLE001  # one message is no reason to lose the line
                _log.exception("hearing a message of the kind %s", kind)
            self._chosen |= bool(self.state.layer and self.state.opened)

    def found(self, *, known: bool, again: bool) -> None:
        """The session is there."""
        state = self.state
        self._lost = None
        for name, visible in list(self._views.items()):
            self._tell_view(name, visible=visible)
        if again:
            state.no_error("network")
            if not known:
                state.end_waiting()
                if state.cache.pins:
                    self._link.tell(messages.pins(state.cache.pins) | {"kind": "pin"})
        self._opening.finished.set()

    def lost(self, error: BaseException) -> None:
        """The server does not answer."""
        state = self.state
        _log.info("lost: %s", error)
        state.interrupt("waits until the connection is back")
        state.fail("network", LOST, ClusterError(_STAYS))
        self._lost = state._shown.get("error network")
        state.status = "connection lost"
        state.on_change()
        self._end_all(
            ClusterError(
                "the connection to the server was lost while this was waited for; the session is "
                "looked for: ask again when it is back"
            )
        )

    def failed(self, error: BaseException) -> None:
        """There is no session, and will be none."""
        state = self.state
        state.problem = error
        state.show("network", messages.opening(""))
        state.fail("network", "There is no session on the cluster", error)
        self._opening.error = error
        self._end_all(error)
        self._opening.finished.set()

    def _end(self, number: int, error: BaseException | None) -> None:
        job = self._job(number, "")
        job.error = error
        job.finished.set()

    def _job(self, number: int, task: str) -> FarJob:
        with self._lock:
            for old in [n for n, job in self._jobs.items() if n < number - 1000]:
                del self._jobs[old]
            return self._jobs.setdefault(number, FarJob(task))

    def _end_all(self, error: BaseException) -> None:
        with self._lock:
            jobs, self._jobs = self._jobs, {}
        for job in jobs.values():
            if not job.finished.is_set():
                job.error = error
                job.finished.set()

    # -------------------------------------------------------------- commands

    def _command(self, name: str, /, **given: Any) -> Any:
        """Have it done there and wait for the answer; not before there is a line.

        Raises what the server raises.
        """
        self.state.check_open()
        answer = self._link.ask("command", name, given)
        if self._link.connecting:
            answer.add_done_callback(self._late)
            return None
        found, number = patiently(answer)
        self._link.caught_up(number)
        return found

    def _late(self, answer: Any) -> None:
        """What was asked before there was a line, and could not be."""
        error = answer.exception()
        if isinstance(error, NeuronWidgetError | ValueError | TypeError) and self._link.connected:
            self.state.fail("select", "What was asked for is not there", error)

    def _ask(self, name: str, /, **given: Any) -> Any:
        self.state.check_open()
        if self._link.connecting:
            return None
        return patiently(self._link.ask("answer", name, given))

    def _started(self, task: str, number: int | None) -> FarJob | None:
        return None if number is None else self._job(number, task)

    def select(self, **given: Any) -> None:
        """Choose what to look at."""
        state = self.state
        if self._link.connecting and not state.closed:
            # Said as it is wanted, until the server says more.
            with state.lock:
                if given.keys() & {"layer", "neuron"}:
                    neuron = check_neuron(given.get("neuron", state.neuron), None, "")
                    state.target = Channel(given.get("layer", state.layer), neuron)
                state.steps = given.get("steps", state.steps)
        self._command("select", **{n: v for n, v in given.items() if v is not None})

    def render(self) -> FarJob | None:
        """Render the selected neuron."""
        return self._started("render", self._command("render"))

    def scan(self, dataset: Any = None) -> FarJob | None:
        """Scan the data set, or another one that the server has."""
        if isinstance(dataset, os.PathLike):
            dataset = os.fspath(dataset)
        if dataset is not None and not isinstance(dataset, str):
            raise DatasetError(
                f"photos go by a name or a path on the server, such as 'samples', got "
                f"{type(dataset).__name__}"
            )
        self._asked_for = dataset or ""
        return self._started("scan", self._command("scan", dataset=dataset))

    def measure(self) -> FarJob | None:
        """Measure how far pictures predict the layer."""
        return self._started("measure", self._command("measure"))

    def look(self, photo: Any) -> FarJob | None:
        """Show a photo to the layer; it is sent as a PNG."""
        from neuron_widget.photos.given import name_of, open_any
        from neuron_widget.scanning.examples import Example

        data = io.BytesIO()
        whole = photo.image() if isinstance(photo, Example) else open_any(photo)
        whole.save(data, format="PNG")
        given = {"photo": data.getvalue(), "name": name_of(photo)}
        return self._started("look", self._command("look", **given))

    def stop(self) -> None:
        """Stop everything."""
        self._command("stop")

    def close(self, why: str = "") -> None:
        """End the session."""
        if why and not self.state.closed:
            self.state.fail("select", "This view has ended", WidgetError(why))
        self.state.close()
        self._link.end()
        self._end_all(WidgetError("the widget was closed"))
        self._opening.finished.set()

    def view(self, name: str, *, visible: bool, gone: bool = False) -> None:
        """A view came, left sight, or is gone."""
        if gone:
            self._views.pop(name, None)
        else:
            self._views[name] = visible
        self._tell_view(name, visible=visible, gone=gone)

    def _tell_view(self, name: str, *, visible: bool, gone: bool = False) -> None:
        self._link.tell({"kind": "visible", "view": name, "visible": visible, "gone": gone})

    def foreground(self) -> list[FarJob]:
        """What somebody waits for."""
        if self.state.closed:
            return []
        if not self._opening.finished.is_set():
            return [self._opening]
        if self._opening.error is not None:
            return []
        return [self._job(number, task) for number, task in self._command("foreground") or []]

    def handle(self, message: Message, buffers: Sequence[bytes | memoryview]) -> None:
        """Do what a message of the page asks: here, if it is known here."""
        state = self.state
        match message["kind"]:
            case "ready":
                self.view(message["view"], visible=True)
                state.send_snapshot()
            case "visible":
                self.view(message["view"], visible=message["visible"], gone=message["gone"])
            case "panels":
                state.send(*messages.panels())
            case "line":
                line, note = python_line(self._told(), state.target, state.steps)
                more = "" if line.endswith("()") else ", "
                line = f'{line[:-1]}{more}cluster="{self._address}")'
                state.send(messages.line(message["asker"], line, note), [])
            case "dismiss" if not self._link.connected:
                state.no_error(message["where"])
            case kind:
                if kind == "scan":
                    self._asked_for = message["dataset"]
                if kind == "configure":
                    now = self.state._shown.get("configured", {}).get("settings", {})
                    told = message["settings"]
                    self._changed |= {n for n in told if n in now and told[n] != now[n]}
                if not self._link.tell(message, buffers) and self._lost is not None:
                    state.send(self._lost, [])  # an answer: the page need not wait for one

    def _told(self) -> Settings:
        """Settings as they are now, as far as somebody said them."""
        told = {n: v for n, v in self._configured().items() if n in self._changed}
        return self.state.settings.replace(**told)


def _client() -> str:
    try:
        user = os.environ.get("JUPYTERHUB_USER") or getpass.getuser()
    except (ImportError, KeyError, OSError):
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
