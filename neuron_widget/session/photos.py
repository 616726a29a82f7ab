"""The photos of a neuron."""

from __future__ import annotations

from collections.abc import Generator

from neuron_widget.session import messages
from neuron_widget.session.messages import Part
from neuron_widget.session.state import State
from neuron_widget.targets import Target

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
                (channel, cache.scans[channel.layer])
                for channel in dict.fromkeys(t.channel for t in (state.target, *cache.pins))
                if channel.layer in cache.scans and channel not in cache.photos
            ]
        if not wanted:
            return

        def steps() -> Generator[None, None, None]:
            for channel, scan in wanted:
                yield
                part = messages.photos(scan, channel)
                with state.lock:
                    if cache.scans.get(channel.layer) is not scan:
                        continue  # scanned again in the meantime
                    cache.add_photos(channel, part)
                state.send(*part)

        state.submit("photos", steps(), lambda _: None, priority=1)

    def enlarge(self, target: Target, group: str, rank: int) -> None:
        """Send one photo of a target's neuron large."""
        state = self._state
        scan = state.cache.scans.get(target.layer)
        if scan is None or group not in ("most", "least"):
            return
        found = scan

        def steps() -> Generator[None, None, Part]:
            yield
            return messages.large_photo(found, target.channel, group, rank)

        state.submit("enlarge", steps(), lambda part: state.send(*part), priority=0)
