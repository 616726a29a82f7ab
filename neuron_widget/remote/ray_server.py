"""A server of sessions as a client sees it through Ray."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from neuron_widget.errors import ClusterError, first_line
from neuron_widget.remote import places
from neuron_widget.remote.link import Lost
from neuron_widget.remote.rules import Rules
from neuron_widget.session.messages import Part

__all__ = ["RayServer", "Reach"]

_TRIES = 3  # before the connection itself is thought to be broken


class _Connection:
    """This process's connection to Ray, which has one for all widgets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._address = ""  # of a connection that was made here; not of the user's own
        self._failed = 0

    def ask(self, address: str, question: Callable[[Any], RayServer]) -> RayServer:
        """Connect to a cluster, and ask Ray there.

        Raises
        ------
        ClusterError
            No cluster answers, or this process is connected to another one.
        Lost
            Ray does not answer.
        """
        with self._lock:
            if self._address and (self._failed >= _TRIES or not places.joined()):
                places.leave()
                self._address, self._failed = "", 0
            if self._address and address not in (self._address, "auto"):
                raise ClusterError(
                    f"this kernel is connected to the cluster {self._address!r}, and Ray connects "
                    f"a process to one at a time: restart the kernel for {address!r}, or use "
                    f"cluster={self._address!r}"
                )
            ray, new = places.join(address)
            if new:
                self._address = address
            try:
                found = question(ray)
            except ClusterError:
                raise
            except Exception as error:
                self._failed += bool(self._address)
                raise error if isinstance(error, Lost) else Lost(first_line(error)) from error
            self._failed = 0
            return found


_connection = _Connection()


class RayServer:
    """See :class:`.link.Server`."""

    def __init__(self, ray: Any, place: Any):
        self._ray, self._place = ray, place
        self._client_mode = bool(ray.util.client.ray.is_connected())

    def call(self, method: str, *given: Any) -> Any:
        """Call a method."""
        return self._get(self._place.call.remote, method, *given)

    def _get(self, method: Callable[..., Any], *given: Any) -> Any:
        try:
            return self._ray.get(method(*given))
        except Exception as error:  # noqa: BLE001  # Ray's own are many, and all mean one thing
            raise self._told(error) from None

    def batches(self, key: str, after: int) -> Iterator[tuple[int, list[Part]]]:
        """What a session says, for a while."""
        if self._client_mode:
            number, parts = self._get(self._place.take.remote, key, after)
            if parts:
                yield number, parts
            return
        try:
            for said in self._place.stream.remote(key, after):
                yield self._ray.get(said)
        except GeneratorExit:
            raise
        except Exception as error:  # noqa: BLE001  # Ray's own are many, and all mean one thing
            raise self._told(error) from None

    def _told(self, error: Exception) -> Exception:
        """What the server raised; or Lost, where it did not answer."""
        cause = getattr(error, "cause", None)
        own = self._ray.exceptions.RayError
        if isinstance(cause, Exception) and not isinstance(cause, own):
            return cause
        return Lost(first_line(error))


class Reach:
    """Finds a server: the one that it found before, or the one with the fewest sessions.

    Where there is none yet it is started; not where there was one, which somebody looks after.

    Parameters
    ----------
    address
        As :func:`.places.join` takes it.
    """

    def __init__(self, address: str):
        self._address = address
        self._found: places.NamedPlace | None = None

    def __call__(self) -> RayServer:
        """The server. ClusterError or :class:`.Lost` where there is none."""
        return _connection.ask(self._address, self._find)

    def _find(self, ray: Any) -> RayServer:
        before = self._found
        if before is not None:
            with contextlib.suppress(ValueError):  # it ended: another may have come
                return RayServer(ray, places.named(ray, before.name))
        found = places.find(ray)
        if found is None and before is not None and before.served:
            raise Lost("there is no server of sessions in the cluster now")
        self._found = found or places.start(ray, Rules(), stays=False)[0]
        return RayServer(ray, self._found.actor)
