"""The store's half for rendered images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from neuron_widget.durable import Damaged, Record
from neuron_widget.networks.known import KnownNetwork
from neuron_widget.store.folders import Folders, number_in
from neuron_widget.store.galleries import gallery_bytes, read_gallery
from neuron_widget.store.keys import image_key
from neuron_widget.targets import Channel, Target, TargetLike, as_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from neuron_widget.networks.known import Network
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.rendering import RenderResult
    from neuron_widget.rendering.result import RenderState

__all__ = ["Renderings"]

# A state serves nothing but more steps of one image and is twenty pictures large: those of single
# images up to 330 px are kept, those of whole layers are not (508 at 224 px: 0.9 GB).
LARGEST_STATE = 4 * 2**20
MOST_STATES = 8

PRECISIONS = ("float32", "bfloat16")


def _facts(record: Record) -> dict[str, Any]:
    return record.facts


class Renderings(Folders):
    """Images by network, layer, neuron and settings."""

    def find_render(
        self, model: Network, target: TargetLike, neuron: int | None = None, **settings: Any
    ) -> RenderResult | None:
        """Return the stored image of a target (or of a neuron of the layer ``target``), or None.

        ``settings`` are those of :func:`neuron_widget.render`. Without a ``precision`` named, an
        image of either will do. The result carries no optimiser state.
        """
        from neuron_widget.rendering.manifest import read_result

        asked = as_target(target, neuron)
        for key, wanted in self._keys(model, asked, settings):
            name = f"{key}-s{wanted['steps']}.webp"
            found: RenderResult | None = self._image(name, model, asked, read_result)
            if found is not None:
                return found
        return None

    def find_packaged(self, model: Network, target: Target, **settings: Any) -> RenderResult | None:
        """Return the image of a target that came with the package, or None.

        Apart from :meth:`find_render`: such an image was stored with loss, and serves to look at.
        """
        from neuron_widget.rendering.manifest import read_result

        for key, wanted in self._keys(model, target, settings) if self.packaged else ():
            name = f"{key}-s{wanted['steps']}.webp"
            found: RenderResult | None = self._image(
                name, model, target, read_result, packaged=True
            )
            if found is not None:
                return replace(found, packaged=True)
        return None

    def render_name(
        self, model: VisionModel, target: TargetLike, neuron: int | None = None, **settings: Any
    ) -> str:
        """Return the name under which an image is kept; "" if images like it are not."""
        for key, wanted in self._keys(model, as_target(target, neuron), settings):
            return f"{key}-s{wanted['steps']}.webp"
        return ""

    def has_render(
        self, model: VisionModel, target: TargetLike, neuron: int | None = None, **settings: Any
    ) -> bool:
        """Return whether an image is stored, without decoding it."""
        asked = as_target(target, neuron)
        return any(
            self._image(f"{key}-s{wanted['steps']}.webp", model, asked) is not None
            for key, wanted in self._keys(model, asked, settings)
        )

    def find_resumable(
        self, model: VisionModel, target: TargetLike, neuron: int | None = None, **settings: Any
    ) -> RenderResult | None:
        """Return the stored image with the most steps below ``steps`` that can be gone on from.

        With its optimiser state, and of the very settings, device and precision: going on gives
        what an uninterrupted rendering gives.
        """
        from neuron_widget.rendering.files import read_state
        from neuron_widget.rendering.manifest import read_result, state_from_arrays
        from neuron_widget.rendering.parameterisations import state_shapes
        from neuron_widget.rendering.settings import render_settings

        wanted = render_settings(model, (as_target(target, neuron),), settings)
        if wanted.options["engine"] != "fast":
            return None
        own = wanted.targets[0].key_parts()
        network = self._network(model, wanted.targets[0])
        key = image_key(network, wanted.as_dict(), own)
        if key is None:
            return None
        shapes = state_shapes(wanted)
        had = sorted((number_in(name, "s") for name in self.names("states", key)), reverse=True)
        for steps in had:
            if steps >= wanted.options["steps"]:
                continue
            result: RenderResult | None
            asked = wanted.targets[0]
            result = self._image(f"{key}-s{steps}.webp", model, asked, read_result)
            if result is None or wanted.differences(result.settings):
                continue
            state: RenderState | None = self.find(
                "states",
                f"{key}-s{steps}.safetensors",
                lambda record: state_from_arrays(*read_state(record, shapes)),
            )
            if state and (state.steps[0], result.steps) == (steps, steps):
                return replace(result, state=state)
        return None

    def put_render(
        self, model: VisionModel, result: RenderResult, *, keep_state: bool | None = None
    ) -> None:
        """Write the images of a result, each to its own file, under the steps it has had.

        Parameters
        ----------
        keep_state
            Whether to write the optimiser's state too, which more steps later need. Default: of
            unfinished images, and of at most 8 of at most 4 MB each (330 px).

        Raises
        ------
        StoreError
        """
        from neuron_widget.rendering.files import image_bytes, state_bytes
        from neuron_widget.rendering.manifest import state_parts, state_size
        from neuron_widget.rendering.result import settings_of

        size = state_size(result)
        few = 0 < size <= LARGEST_STATE and len(result) <= MOST_STATES
        if result.settings["model"] != model.identity:
            return  # the network has been changed since
        for i, target in enumerate(result.targets):
            network = self._network(model, target)
            key = image_key(network, settings_of(result.settings, [target]), target.key_parts())
            steps = result.state.steps[i] if result.state is not None else result.steps
            if key is None or steps < 1:
                continue
            name = f"{key}-s{steps}.webp"
            if self._image(name, model, target) is None:
                pixels, manifest = result.picture(i)
                self.write("images", name, image_bytes(pixels, {**manifest, "name": name}))
            name = f"{key}-s{steps}.safetensors"
            kept = few or steps < result.settings["steps"] if keep_state is None else keep_state
            if kept and size and self.find("states", name, _facts) is None:
                arrays, manifest = state_parts(result, i)
                self.write("states", name, state_bytes(arrays, {**manifest, "name": name}))

    def _image(
        self,
        name: str,
        model: Network,
        target: Target,
        read: Callable[[Record], Any] = _facts,
        *,
        packaged: bool = False,
    ) -> Any:
        """What ``read`` makes of a stored image; None if there is none."""
        asked = target.check(model)
        return self.find(
            "images",
            name,
            lambda record: read(self._asked_for(record, model, asked)),
            packaged=packaged,
        )

    def _asked_for(self, record: Record, model: Network, target: Target) -> Record:
        """The record of an image, if what it says made it gives the name it was found under.

        Raises Damaged for the image of another target, network or settings.
        """
        facts = record.facts
        settings = facts["settings"]
        network = self._network(model, target)
        key = image_key(network, settings, target.key_parts())
        if (
            facts["name"] != f"{key}-s{facts['steps']}.webp"
            or facts["target"] != str(target)
            or facts["shape"] != [settings["size"], settings["size"]]
            or settings["model"] != network["model"]
        ):
            raise Damaged("it is not what its name says")
        return record

    def _network(self, model: Network, target: Target) -> dict[str, str]:
        """The network's part of a key, with the dictionaries that the target reads."""
        each = [self.model_key(model, layer) for layer in target.layers]
        contents = dict.fromkeys(one["dictionary"] for one in each if "dictionary" in one)
        return {**each[0], **({"dictionary": " ".join(contents)} if contents else {})}

    def _keys(
        self,
        model: Network,
        target: Target,
        settings: Mapping[str, Any],
        parts: Mapping[str, Any] | None = None,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Keys that will do, the best first, each with all settings.

        ``parts`` stands for the target's own part of the key.
        """
        wanted = _checked(model, target, settings)
        checked = target.check(model)
        own, network = parts or checked.key_parts(), self._network(model, checked)
        named = settings.get("precision") is not None
        first = [wanted["precision"]] if wanted["precision"] is not None else []
        for precision in dict.fromkeys([*first, *(() if named else PRECISIONS)]):
            chosen = {**wanted, "precision": precision}
            key = image_key(network, chosen, own)
            if key is not None:
                yield key, chosen

    # -------------------------------------------------------------- tiles of a layer

    def find_gallery(
        self, model: Network, layer: str, *, packaged: bool = False, **settings: Any
    ) -> dict[int, bytes]:
        """Return the stored tiles (JPEG by neuron) of a layer rendered with these settings.

        ``packaged``: also those that came with the package.
        """
        info = model.layer(layer)
        for name in self._gallery_names(model, layer, settings):
            found: dict[int, bytes] | None = self.find(
                "galleries",
                name,
                lambda record: read_gallery(record, info.name, info.channels),
                packaged=packaged,
            )
            if found is not None:
                return found
        return {}

    def put_gallery(
        self, model: VisionModel, layer: str, tiles: Mapping[int, bytes], **settings: Any
    ) -> None:
        """Write the tiles of a layer, with those that are there already. Raises StoreError."""
        there = self.find_gallery(model, layer, **settings)
        if tiles and not there.keys() >= tiles.keys():
            name = next(self._gallery_names(model, layer, settings))
            tiles = {**there, **tiles}
            self.write("galleries", name, gallery_bytes(tiles, model.layer(layer).name, name))

    def _gallery_names(
        self, model: Network, layer: str, settings: Mapping[str, Any]
    ) -> Iterator[str]:
        name = model.layer(layer).name
        whole_layer = {"layer": name, "neuron": -1}
        for key, wanted in self._keys(model, Channel(name, 0), settings, whole_layer):
            yield f"{key}-s{wanted['steps']}.safetensors"


def _checked(model: Network, target: Target, settings: Mapping[str, Any]) -> dict[str, Any]:
    """All settings, as a result has them."""
    from neuron_widget.rendering.settings import known_settings, render_settings

    if isinstance(model, KnownNetwork):
        return known_settings(model, target, settings)
    return render_settings(model, (target,), settings).as_dict()
