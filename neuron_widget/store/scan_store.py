"""The store's half for scans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from neuron_widget.durable import Damaged, Record
from neuron_widget.photos.files import readable_again
from neuron_widget.store.checkpoints import EVERY_S, FileCheckpoint, checkpoint_name
from neuron_widget.store.folders import Folders, number_in
from neuron_widget.store.keys import scan_key
from neuron_widget.store.maps import MadeMaps, StoredMaps

if TYPE_CHECKING:
    from neuron_widget.networks.known import Network
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.scanning import ImageDataset, ScanResult

__all__ = ["Scans", "photos_of"]


class Scans(Folders):
    """Scans, their checkpoints and maps, by network, layer and data set."""

    def find_scan(
        self,
        model: Network,
        layer: str,
        dataset: ImageDataset,
        *,
        top_k: int = 9,
        num_samples: int | None = None,
        seed: int = 0,
        precision: str = "exact",
    ) -> ScanResult | None:
        """Return the stored scan of a layer over a data set, or None; no photo is read.

        One with a larger ``top_k`` serves a smaller one. One that had to leave out files which can
        be opened now is none: they are looked at after all.
        """
        from neuron_widget.scanning import ScanResult
        from neuron_widget.scanning.files import read_scan

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
                lambda record: ScanResult.from_manifest(
                    read_scan(self._scan(record, model, dataset)),
                    # What it has no maps of is read by the network, once that is open.
                    cast("VisionModel", model),
                    dataset,
                ),
                packaged=True,
            )
            if found is not None and not readable_again(found.skipped):
                found.settings |= {"top_k": top_k, "num_samples": num_samples}
                self._add_maps(found, name)
                return found
        return None

    def _add_maps(self, scan: ScanResult, name: str) -> None:
        """Let a scan use the stored maps, if there are any."""
        maps = self._maps(scan, name)
        fields = maps.receptive_fields()
        if fields is not None:
            scan.stored_maps = maps
            scan.receptive_fields = fields  # known: not to be probed

    def _maps(self, scan: ScanResult, name: str) -> StoredMaps:
        layer = scan._model.layer(scan.layer)
        return StoredMaps(lambda reader: self.find("maps", name, reader, packaged=True), layer)

    def _scan_names(
        self,
        model: Network,
        layer: str,
        dataset: ImageDataset,
        top_k: int,
        num_samples: int | None,
        seed: int,
        precision: str,
    ) -> list[str]:
        """Names of the files that hold a scan, the smallest that will do first."""
        photos = photos_of(dataset, num_samples)
        settings = {"seed": seed, "precision": precision, "input_size": model.input_size}
        key = self.scan_key(model, layer, dataset, settings)
        names = [
            name
            for name in self.names("scans", key, packaged=True)
            if number_in(name, "n") == photos and number_in(name, "k") >= top_k
        ]
        return sorted(names, key=lambda name: number_in(name, "k"))

    def scan_name(
        self,
        model: VisionModel,
        layer: str,
        dataset: ImageDataset,
        *,
        top_k: int = 9,
        num_samples: int | None = None,
        seed: int = 0,
        precision: str = "exact",
    ) -> str:
        """Return the name under which a scan is kept."""
        from neuron_widget.networks.arithmetic import scan_precision

        photos = photos_of(dataset, num_samples)
        settings = {
            "seed": seed,
            "precision": scan_precision(precision, model.device),
            "input_size": model.input_size,
        }
        return f"{self.scan_key(model, layer, dataset, settings)}-n{photos}-k{top_k}.safetensors"

    def scan_name_of(self, model: VisionModel, result: ScanResult) -> str:
        """Return the name of the stored scan that serves as this one; its own if there is none."""
        chosen = {n: result.settings[n] for n in ("top_k", "num_samples", "seed", "precision")}
        names = self._scan_names(model, result.layer, result._photos, *chosen.values())
        own = self.scan_name(model, result.layer, result._photos, **chosen)
        return next(iter(names), own)

    def has_maps(self, model: VisionModel, result: ScanResult) -> bool:
        """Return whether the maps of a scan are stored, and whole: all of them are read."""
        return self._maps(result, self.scan_name_of(model, result)).whole()

    def put_maps(self, model: VisionModel, result: ScanResult, maps: MadeMaps) -> None:
        """Write the maps of a stored scan (from :func:`.maps.make_maps`). Raises StoreError."""
        name = self.scan_name_of(model, result)
        self.write("maps", name, maps.pack(name))

    def put_scan(self, model: VisionModel, result: ScanResult) -> None:
        """Write a complete scan; one that was stopped is not kept. Raises StoreError."""
        from neuron_widget.scanning.files import scan_bytes

        dataset, settings = result._photos, result.settings
        photos = photos_of(dataset, settings["num_samples"])
        if result.scanned + len(result.skipped) != photos:
            return
        if result.model_identity != model.identity:
            return  # the network has been changed since
        key = self.scan_key(model, result.layer, dataset, settings)
        name = f"{key}-n{photos}-k{settings['top_k']}.safetensors"
        there = self.find("scans", name, lambda record: self._scan(record, model, dataset))
        if there is None or len(there.facts["skipped"]) > len(result.skipped):
            manifest = {**result.manifest(photos=False), "name": name}
            self.write("scans", name, scan_bytes(result.tables.arrays(), manifest))

    def _scan(self, record: Record, model: Network, dataset: ImageDataset) -> Record:
        """The record of a scan, if what it says made it gives the name it was found under.

        Raises Damaged for the scan of another layer, network or data set.
        """
        facts = record.facts
        info, settings = model.layer(facts["layer"]), facts["settings"]
        key = self.scan_key(model, info.name, dataset, settings)
        photos = facts["scanned"] + len(facts["skipped"])
        if (
            facts["name"] != f"{key}-n{photos}-k{settings['top_k']}.safetensors"
            or facts["model"]["identity"] != self.model_key(model)["model"]
            or facts["dataset"]["fingerprint"] != dataset.fingerprint
            or facts["shape"] != [info.channels, info.height, info.width]
        ):
            raise Damaged("it is not what its name says")
        return record

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
        num_samples: int | None = None,
        shard: tuple[int, int] | None = None,
    ) -> FileCheckpoint:
        """Return the checkpoint of a scan, for :func:`neuron_widget.scan_steps`.

        Of a whole scan it serves every ``num_samples``.
        """
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
            shard=(*shard, photos_of(dataset, num_samples)) if shard is not None else None,
        )
        return FileCheckpoint(self, name, every_s, every_photos)

    def scan_key(
        self, model: Network, layer: str, dataset: ImageDataset, settings: dict[str, Any]
    ) -> str:
        """Return the name of a layer's scans over a data set."""
        layer = model.layer(layer).name
        network = self.model_key(model, layer)
        return scan_key(network, layer, dataset.fingerprint, len(dataset), settings)


def photos_of(dataset: ImageDataset, num_samples: int | None) -> int:
    """Return how many photos a scan has, those that cannot be read included."""
    return len(dataset) if num_samples is None else min(num_samples, len(dataset))
