"""The photos of a neuron."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from neuron_widget.session import messages
from neuron_widget.session.messages import Part
from neuron_widget.session.state import State
from neuron_widget.targets import Target

if TYPE_CHECKING:
    from neuron_widget.scanning import ScanResult

__all__ = ["Photos"]

GROUPS = ("most", "least")


class Photos:
    """Prepares photos from the scans that are there, and from one that goes on."""

    def __init__(self, state: State):
        self._state = state

    def find(self) -> None:
        """Prepare the photo rows of the selected neuron, and of those that are pinned."""
        state = self._state
        with state.lock:
            cache = state.cache
            wanted = [
                channel
                for channel in dict.fromkeys(t.channel for t in (state.target, *cache.pins))
                if cache.looked_into(channel.layer) is not None and channel not in cache.photos
            ]
        if not wanted:
            return

        def steps() -> Generator[None, None, None]:
            for channel in wanted:
                yield
                scan = cache.looked_into(channel.layer)
                if scan is not None and (state.model is not None or _has_maps(scan, channel)):
                    self._show(scan, channel)

        state.submit("photos", steps(), lambda _: None, priority=1)

    def look(self, scan: ScanResult) -> None:
        """Show the selected neuron's photos of a scan that goes on, where they are others now.

        Called in the worker.
        """
        state = self._state
        with state.lock:
            cache, channel = state.cache, state.target.channel
            ended = cache.scans.get(scan.layer)
            if state.model is None or (ended is not None and ended.scanned >= scan.scanned):
                return  # closed in the meantime; or begun anew, and not as far as the one before
            cache.so_far[scan.layer] = scan
            shown = cache.photos.get(channel)
        if channel.layer != scan.layer:
            return
        found = [example.index for side in (scan.top, scan.bottom) for example in side(channel)]
        if shown is None or found != [p["index"] for g in GROUPS for p in shown[0][g]]:
            self._show(scan, channel)

    def _show(self, scan: ScanResult, channel: Target) -> None:
        state, cache = self._state, self._state.cache
        part = messages.photos(scan, channel)
        with state.lock:
            if cache is not state.cache or cache.looked_into(channel.layer) is not scan:
                return  # scanned again in the meantime
            cache.add_photos(channel, part)
        state.send(*part)

    def enlarge(self, target: Target, group: str, rank: int) -> None:
        """Send one photo of a target's neuron large."""
        state = self._state
        scan = state.cache.looked_into(target.layer)
        if scan is None or group not in GROUPS:
            return
        found = scan

        def steps() -> Generator[None, None, Part]:
            yield
            return messages.large_photo(found, target.channel, group, rank)

        state.submit("enlarge", steps(), lambda part: state.send(*part), priority=0)


def _has_maps(scan: ScanResult, channel: Target) -> bool:
    """Whether a neuron's maps are stored: a network that is not open makes none."""
    sides = (scan.tables.top, scan.tables.bottom)
    named = {int(i) for side in sides for i in side.index[channel.neuron]}
    stored = scan.stored_maps
    return stored is not None and stored(channel.neuron, sorted(named)) is not None
