"""The store's half for rendered images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from neuron_widget.durable import Damaged, Record
from neuron_widget.store.folders import Folders, number_in
from neuron_widget.store.galleries import gallery_bytes, read_gallery
from neuron_widget.store.keys import image_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from neuron_widget.networks.model import VisionModel
    from neuron_widget.rendering import RenderResult
    from neuron_widget.rendering.result import RenderState

__all__ = ["Renderings"]

# A state serves nothing but more steps of one image and is twenty pictures large: those of single
# images up to 330 px are kept, those of whole layers are not (508 at 224 px: 0.9 GB).
LARGEST_STATE = 4 * 2**20
MOST_STATES = 8

PRECISIONS = ("float32", "bfloat16")

_GALLERY = -1  # stands for the neuron in the name of a whole layer's tiles


def _facts(record: Record) -> dict[str, Any]:
    return record.facts


class Renderings(Folders):
    """Images by network, layer, neuron and settings."""

    def find_render(
        self, model: VisionModel, layer: str, neuron: int, **settings: Any
    ) -> RenderResult | None:
        """Return the stored image of a neuron, or None.

        ``settings`` are those of :func:`neuron_widget.render`. Without a ``precision`` named, an
        image of either will do. The result carries no optimiser state.
        """
        from neuron_widget.rendering.manifest import read_result

        for family, wanted in self._families(model, layer, neuron, settings):
            name = f"{family}-s{wanted['steps']}.webp"
            found: RenderResult | None = self._image(name, model, neuron, read_result)
            if found is not None:
                return found
        return None

    def render_name(self, model: VisionModel, layer: str, neuron: int, **settings: Any) -> str:
        """Return the name under which an image is kept; "" if images like it are not."""
        for family, wanted in self._families(model, layer, neuron, settings):
            return f"{family}-s{wanted['steps']}.webp"
        return ""

    def has_render(self, model: VisionModel, layer: str, neuron: int, **settings: Any) -> bool:
        """Return whether an image is stored, without decoding it."""
        return any(
            self._image(f"{family}-s{wanted['steps']}.webp", model, neuron) is not None
            for family, wanted in self._families(model, layer, neuron, settings)
        )

    def find_resumable(
        self, model: VisionModel, layer: str, neuron: int, **settings: Any
    ) -> RenderResult | None:
        """Return the stored image with the most steps below ``steps`` that can be gone on from.

        With its optimiser state, and of the very settings, device and precision: going on gives
        what an uninterrupted rendering gives.
        """
        from neuron_widget.rendering.files import read_state
        from neuron_widget.rendering.manifest import read_result, state_from_arrays

        wanted = _checked(model, layer, neuron, settings)
        if wanted.engine != "fast":
            return None
        plain = wanted.as_dict()
        family = image_key(self.recipe(model), plain, neuron)
        if family is None:
            return None
        had = sorted((number_in(name, "s") for name in self.names("states", family)), reverse=True)
        for steps in had:
            if steps >= wanted.steps:
                continue
            result: RenderResult | None
            result = self._image(f"{family}-s{steps}.webp", model, neuron, read_result)
            if result is None or wanted.differences(result.settings):
                continue
            state: RenderState | None = self.find(
                "states",
                f"{family}-s{steps}.safetensors",
                lambda record: state_from_arrays(*read_state(record, wanted.size)),
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

        size = state_size(result)
        few = 0 < size <= LARGEST_STATE and len(result) <= MOST_STATES
        recipe = self.recipe(model)
        if result.settings["model"] != model.identity:
            return  # the network has been changed since
        for i, neuron in enumerate(result.neurons):
            family = image_key(recipe, result.settings, neuron)
            steps = result.state.steps[i] if result.state is not None else result.steps
            if family is None or steps < 1:
                continue
            name = f"{family}-s{steps}.webp"
            if self._image(name, model, neuron) is None:
                pixels, manifest = result.picture(i)
                self.write("images", name, image_bytes(pixels, {**manifest, "name": name}))
            name = f"{family}-s{steps}.safetensors"
            kept = few or steps < result.settings["steps"] if keep_state is None else keep_state
            if kept and size and self.find("states", name, _facts) is None:
                arrays, manifest = state_parts(result, i)
                self.write("states", name, state_bytes(arrays, {**manifest, "name": name}))

    def _image(
        self,
        name: str,
        model: VisionModel,
        neuron: int,
        read: Callable[[Record], Any] = _facts,
    ) -> Any:
        """What ``read`` makes of a stored image; None if there is none."""
        return self.find(
            "images", name, lambda record: read(self._asked_for(record, model, neuron))
        )

    def _asked_for(self, record: Record, model: VisionModel, neuron: int) -> Record:
        """The record of an image, if what it says made it gives the name it was found under.

        Raises Damaged for the image of another neuron, network or settings.
        """
        facts = record.facts
        settings = facts["settings"]
        recipe = self.recipe(model)
        key = image_key(recipe, settings, neuron)
        if (
            facts["name"] != f"{key}-s{facts['steps']}.webp"
            or (facts["neuron"], facts["layer"]) != (neuron, settings["layer"])
            or facts["shape"] != [settings["size"], settings["size"]]
            or settings["model"] != recipe["model"]
        ):
            raise Damaged("it is not what its name says")
        return record

    def _families(
        self, model: VisionModel, layer: str, neuron: int, settings: dict[str, Any]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Names that will do, the best first, each with all settings."""
        wanted = _checked(model, layer, max(neuron, 0), settings).as_dict()
        recipe = self.recipe(model)
        named = settings.get("precision") is not None
        for precision in dict.fromkeys([wanted["precision"], *(() if named else PRECISIONS)]):
            chosen = {**wanted, "precision": precision}
            family = image_key(recipe, chosen, neuron)
            if family is not None:
                yield family, chosen

    # -------------------------------------------------------------- tiles of a layer

    def find_gallery(self, model: VisionModel, layer: str, **settings: Any) -> dict[int, bytes]:
        """Return the stored tiles (JPEG by neuron) of a layer rendered with these settings."""
        info = model.layer(layer)
        for family, wanted in self._families(model, layer, _GALLERY, settings):
            name = f"{family}-s{wanted['steps']}.safetensors"
            found: dict[int, bytes] | None = self.find(
                "galleries", name, lambda record: read_gallery(record, info.name, info.channels)
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
            family, wanted = next(self._families(model, layer, _GALLERY, settings))
            name = f"{family}-s{wanted['steps']}.safetensors"
            tiles = {**there, **tiles}
            self.write("galleries", name, gallery_bytes(tiles, model.layer(layer).name, name))


def _checked(model: VisionModel, layer: str, neuron: int, settings: dict[str, Any]) -> Any:
    from neuron_widget.rendering.settings import check_settings

    usual: dict[str, Any] = {
        "steps": 512,
        "size": 224,
        "lr": 0.05,
        "seed": 0,
        "objective": "channel",
        "engine": "fast",
        "redirect_relu": None,
        "precision": None,
    }
    return check_settings(model, layer, neuron, **{**usual, **settings})
