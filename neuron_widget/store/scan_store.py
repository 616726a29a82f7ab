"""The store's half for scans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neuron_widget.durable import read_arrays, read_facts
from neuron_widget.store.checkpoints import EVERY_S, FileCheckpoint, checkpoint_name
from neuron_widget.store.folders import Folders, number_in
from neuron_widget.store.keys import scan_key
from neuron_widget.store.maps import StoredMaps

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.scanning import ImageDataset, ScanResult

__all__ = ["Scans"]


class Scans(Folders):
    """Scans, their checkpoints and maps, by network, layer and data set."""

    def find_scan(
        self,
        model: VisionModel,
        layer: str,
        dataset: ImageDataset,
        *,
        top_k: int = 9,
        num_samples: int | None = None,
        seed: int = 0,
        precision: str = "exact",
    ) -> ScanResult | None:
        """Return the stored scan of a layer over a data set, or None; no photo is read.

        One with a larger ``top_k`` serves a smaller one.
        """
        from neuron_widget.scanning import ScanResult

        # An exact scan has everything that a fast one has.
        names = (
            name
            for how in dict.fromkeys([precision, "exact"])
            for name in self._scan_names(model, layer, dataset, top_k, num_samples, seed, how)
        )
        for name in names:
            found: ScanResult | None = self.find(
                "scans",
                name,
                lambda path: ScanResult.from_manifest(*read_arrays(path), model, dataset),
            )
            if found is not None:
                found.settings |= {"top_k": top_k, "num_samples": num_samples}
                maps: StoredMaps | None = self.find("maps", name, StoredMaps)
                found.stored_maps = maps
                fields = maps.receptive_fields() if maps is not None else None
                if fields is not None:
                    found.receptive_fields = fields  # known: not to be probed
                return found
        return None

    def _scan_names(
        self,
        model: VisionModel,
        layer: str,
        dataset: ImageDataset,
        top_k: int,
        num_samples: int | None,
        seed: int,
        precision: str,
    ) -> list[str]:
        """Names of the files that hold a scan, the smallest that will do first."""
        photos = len(dataset) if num_samples is None else min(num_samples, len(dataset))
        settings = {"seed": seed, "precision": precision, "input_size": model.input_size}
        family = self.scan_key(model, layer, dataset, settings)
        names = [
            name
            for name in self.names("scans", family)
            if number_in(name, "n") == photos and number_in(name, "k") >= top_k
        ]
        return sorted(names, key=lambda name: number_in(name, "k"))

    def put_maps(self, model: VisionModel, result: ScanResult, maps: bytes) -> None:
        """Write the maps of a stored scan (from :func:`.maps.make_maps`). Raises StoreError."""
        chosen = (result.settings[name] for name in ("top_k", "num_samples", "seed", "precision"))
        names = self._scan_names(model, result.layer, result._photos, *chosen)
        if names:
            self.write("maps", names[0], maps)

    def put_scan(self, model: VisionModel, result: ScanResult) -> None:
        """Write a complete scan; one that was stopped is not kept. Raises StoreError."""
        from neuron_widget.scanning.files import scan_bytes

        dataset, settings = result._photos, result.settings
        wanted = settings["num_samples"]
        photos = len(dataset) if wanted is None else min(wanted, len(dataset))
        if result.scanned + len(result.skipped) != photos:
            return
        if result.model_identity != model.identity:
            return  # the network has been changed since
        family = self.scan_key(model, result.layer, dataset, settings)
        name = f"{family}-n{photos}-k{settings['top_k']}.safetensors"
        if self.find("scans", name, read_facts) is None:
            self.write(
                "scans", name, scan_bytes(result.tables.arrays(), result.manifest(photos=False))
            )

    def checkpoint(
        self,
        model: VisionModel,
        layer: str,
        dataset: ImageDataset,
        *,
        top_k: int = 9,
        seed: int = 0,
        batch_size: int = 32,
        precision: str = "exact",
        every_s: float = EVERY_S,
        every_photos: int | None = None,
    ) -> FileCheckpoint:
        """Return the checkpoint of a scan, for :func:`neuron_widget.scan_steps`."""
        import torch

        from neuron_widget.networks.arithmetic import scan_precision

        precision = scan_precision(precision, model.device)
        settings = {"seed": seed, "precision": precision, "input_size": model.input_size}
        name = checkpoint_name(
            self.scan_key(model, layer, dataset, settings),
            top_k=top_k,
            batch_size=batch_size,
            device=model.device.type,
            torch_version=str(torch.__version__),
        )
        return FileCheckpoint(self, name, every_s, every_photos)

    def scan_key(
        self, model: VisionModel, layer: str, dataset: ImageDataset, settings: dict[str, Any]
    ) -> str:
        """Return the name of a layer's scans over a data set."""
        layer = model.layer(layer).name
        recipe = self.recipe(model)
        return scan_key(recipe, layer, dataset.fingerprint, len(dataset), settings)
