"""The store's half for parts of scans, which several processes or machines make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from neuron_widget.durable import Damaged, Record
from neuron_widget.errors import StoreError
from neuron_widget.store.folders import number_in
from neuron_widget.store.keys import digest
from neuron_widget.store.scan_store import Scans, photos_of

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.scanning import ImageDataset, ScanResult
    from neuron_widget.scanning.part_files import ScanPart

__all__ = ["Parts"]


class Parts(Scans):
    """Scans, and parts of them; ``how`` is what of a scan's settings and batches makes it."""

    def part_name(
        self,
        model: VisionModel,
        layer: str,
        dataset: ImageDataset,
        shard: tuple[int, int],
        **how: Any,
    ) -> str:
        """Return the name under which a part is kept; those of one scan begin alike."""
        return f"{self._begin(model, layer, dataset, **how)}{shard[1]}-i{shard[0]}.safetensors"

    def _begin(
        self,
        model: VisionModel,
        layer: str,
        dataset: ImageDataset,
        *,
        top_k: int,
        num_samples: int | None,
        seed: int,
        precision: str,
        batch_size: int,
    ) -> str:
        from neuron_widget.networks.arithmetic import scan_precision
        from neuron_widget.scanning.part_files import made_by

        precision = scan_precision(precision, model.device)
        settings = {"seed": seed, "precision": precision, "input_size": model.input_size}
        key = self.scan_key(model, layer, dataset, settings)
        own = digest("part", {"scan": key, **made_by(model.device.type)})
        return f"{own}-p{photos_of(dataset, num_samples)}-k{top_k}-b{batch_size}-n"

    def find_part(self, name: str, model: VisionModel, dataset: ImageDataset) -> ScanResult | None:
        """Return what a stored part found, or None."""
        from neuron_widget.scanning import ScanResult
        from neuron_widget.scanning.groups import group_numbers

        part: ScanPart | None = self.find("parts", name, _read)
        if part is None:
            return None
        facts = {**part.scan, **part.facts}
        facts["skipped"] = [entry[1:] for entry in part.facts["skipped"]]
        arrays = part.statistics(group_numbers(dataset)).tables().arrays()
        found = ScanResult.from_manifest((facts, arrays), model, dataset)
        found.part = part
        return found

    def keep_part(self, name: str, part: ScanPart) -> None:
        """Write a part if that is possible; else report why."""
        try:
            self.write("parts", name, part.pack(name))
        except StoreError as error:
            self.fail(error)

    def merged_scan(
        self, model: VisionModel, layer: str, dataset: ImageDataset, **how: Any
    ) -> ScanResult | None:
        """Return the scan that stored parts make; None as long as one of them is missing."""
        from neuron_widget.scanning import ScanResult

        divisions: dict[int, list[str]] = defaultdict(list)
        for name in self.names("parts", self._begin(model, layer, dataset, **how)):
            divisions[number_in(name, "n")].append(name)
        for shards, names in sorted(divisions.items()):
            if len(names) == shards:
                parts = [self.find("parts", name, _read) for name in names]
                if all(part is not None for part in parts):
                    return ScanResult.merge(parts, model, dataset)
        return None

    def merge_named(
        self, names: Sequence[str], model: VisionModel, dataset: ImageDataset
    ) -> ScanResult:
        """Return the scan that parts make, by their names; StoreError if one is not there."""
        from neuron_widget.scanning import ScanResult

        parts = []
        for name in names:
            part = self.find("parts", name, _read)
            if part is None:
                raise StoreError(
                    f"the part {name} is not in {self.own.root} any more; expected all parts of "
                    "the scan. The same call makes it again"
                )
            parts.append(part)
        return ScanResult.merge(parts, model, dataset)


def _read(record: Record) -> ScanPart:
    from neuron_widget.scanning.part_files import ScanPart

    name = str(record.facts["name"])
    part = ScanPart.read(record, name)
    if part.shard != (number_in(name, "i"), number_in(name, "n")):
        raise Damaged("it is another part than its name says")
    return part
