"""A server of sessions as a client sees it through Ray."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from neuron_widget.errors import ClusterError, first_line
from neuron_widget.remote import places
from neuron_widget.remote.link import Lost
from neuron_widget.remote.rules import Rules
from neuron_widget.session.messages import Part

__all__ = ["RayServer", "Reach"]

_TRIES = 3  # before the connection itself is thought to be broken

# One process has one connection to Ray, for all its widgets.
_CONNECTING = threading.Lock()


class RayServer:
    """See :class:`.link.Server`."""

    def __init__(self, ray: Any, place: Any):
        self._ray, self._place = ray, place
        self._client_mode = bool(ray.util.client.ray.is_connected())

    def open(self, key: str, wish: dict[str, Any], client: str) -> dict[str, Any]:
        """Begin or find a session."""
        found: dict[str, Any] = self.call("open", key, wish, client)
        return found

    def call(self, method: str, *given: Any) -> Any:
        """Call a method."""
        try:
            if method == "take":
                return self._ray.get(self._place.take.remote(*given))
            return self._ray.get(self._place.call.remote(method, *given))
        except Exception as error:  # noqa: BLE001  # Ray's own are many, and all mean one thing
            raise self._told(error) from None

    def batches(self, key: str, after: int) -> Iterator[tuple[int, list[Part]]]:
        """What a session says, for a while."""
        if self._client_mode:
            number, parts = self.call("take", key, after)
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
        self._name = ""
        self._failed = 0

    def __call__(self) -> RayServer:
        """The server. ClusterError or :class:`.Lost` where there is none."""
        with _CONNECTING:
            if self._failed >= _TRIES:
                places.leave()
                self._failed = 0
            self._failed += 1
            ray = places.join(self._address)
            try:
                place = self._place(ray)
            except (ClusterError, Lost):
                raise
            except Exception as error:
                raise Lost(first_line(error)) from error
        self._failed = 0
        return RayServer(ray, place)

    def _place(self, ray: Any) -> Any:
        if self._name:
            try:
                return places.named(ray, self._name)
            except ValueError:
                pass  # it ended: another may have come
        found = places.find(ray)
        if found is None and self._name:
            raise Lost("there is no server of sessions in the cluster now")
        if found is None:
            found = places.NamedPlace("sessions-0", places.start(ray, Rules(), stays=False)[0])
        self._name = found.name
        return found.actor
