"""The photos of a neuron."""

from __future__ import annotations

from collections.abc import Generator

from neuron_widget.session import messages
from neuron_widget.session.messages import Part
from neuron_widget.session.state import State

__all__ = ["Photos"]


class Photos:
    """The jobs that prepare photos from the scans that are there."""

    def __init__(self, state: State):
        self._state = state

    def find(self) -> None:
        """Prepare the photo rows of the selected neuron, and of those that are pinned."""
        state = self._state
        with state.lock:
            cache = state.cache
            wanted = [
                (key, cache.scans[key[0]])
                for key in dict.fromkeys((state.key, *cache.pins))
                if key[0] in cache.scans and key not in cache.photos
            ]
        if not wanted:
            return

        def steps() -> Generator[None, None, None]:
            for key, scan in wanted:
                yield
                part = messages.photos(scan, *key)
                with state.lock:
                    if cache.scans.get(key[0]) is not scan:
                        continue  # scanned again in the meantime
                    cache.add_photos(key, part)
                state.send(*part)

        state.submit("photos", steps(), lambda _: None, priority=1)

    def enlarge(self, layer: str, neuron: int, group: str, rank: int) -> None:
        """Send one photo large."""
        state = self._state
        scan = state.cache.scans.get(layer)
        if scan is None or group not in ("most", "least"):
            return
        found = scan

        def steps() -> Generator[None, None, Part]:
            yield
            return messages.large_photo(found, layer, neuron, group, rank)

        state.submit("enlarge", steps(), lambda part: state.send(*part), priority=0)
