"""The networks of a store: what has to be known of one to find its results before it is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neuron_widget.durable import Damaged, Record, pack_arrays
from neuron_widget.errors import StoreError
from neuron_widget.networks.known import KnownNetwork, NamedNetwork, describe
from neuron_widget.store.folders import Folders
from neuron_widget.store.keys import digest

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel

__all__ = ["Catalogue"]


class Catalogue(Folders):
    """Networks by name and by the file of their weights: its path, size and time."""

    def find_network(self, named: NamedNetwork) -> KnownNetwork | None:
        """Return what is known of a network that was opened before, or None.

        The file is not read: that its weights are those of before shows when the network is open.
        """
        try:
            name = _name(named)
        except OSError:
            return None
        found: KnownNetwork | None = self.find("networks", name, _read, packaged=True)
        return found

    def put_network(self, named: NamedNetwork, model: VisionModel) -> None:
        """Keep what is to be known of a network that is open; a store that fails reports it."""
        try:
            name, known = _name(named), describe(model, self.model_key(model))
            if known is None:
                return
            before = self.find("networks", name, _read, packaged=True)
            if before is None or not before.same(known):
                self.write("networks", name, _pack(name, known))
        except (OSError, StoreError) as error:
            self.fail(error if isinstance(error, StoreError) else StoreError(str(error)))


def _name(named: NamedNetwork) -> str:
    return f"{digest('network', named.parts())}.safetensors"


def _pack(name: str, known: KnownNetwork) -> bytes:
    # The form of all files that are no pictures; what it has to say is in the manifest.
    nothing: dict[str, Any] = {"none": np.zeros(0, np.uint8)}
    return pack_arrays(nothing, {"kind": "network", "name": name, **known.facts()})


def _read(record: Record) -> KnownNetwork:
    if record.facts["kind"] != "network":
        raise Damaged(f"it is of kind {record.facts['kind']!r}, expected a network")
    record.expect(none=("u1", (0,)))
    return KnownNetwork.from_facts(record.facts)
