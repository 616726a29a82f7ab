"""Data sets of Hugging Face's ``datasets``, known by what they have: it is never imported here."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from PIL import Image

from neuron_widget.errors import DatasetError
from neuron_widget.photos.decode import as_image, to_rgb
from neuron_widget.photos.files import open_photo
from neuron_widget.scanning.foreign import ItemReader
from neuron_widget.scanning.image_dataset import (
    ImageDataset,
    digest,
    digest_images,
    file_state,
)
from neuron_widget.scanning.items import IMAGE_NAMES, LABEL_NAMES, choose_column, class_name
from neuron_widget.scanning.kinds import DatasetKind

__all__ = ["KIND", "HuggingFaceDataset"]


class HuggingFaceDataset(ImageDataset):
    """A data set of the ``datasets`` library, known by its ``features``; never imported here."""

    def __init__(self, dataset: Any) -> None:
        if not hasattr(dataset, "__len__"):
            raise DatasetError(
                "a streamed Hugging Face data set has no length; expected one loaded with "
                "streaming=False, or list(dataset.take(1000)) of it"
            )
        if len(dataset) == 0:
            raise DatasetError("the Hugging Face data set is empty")
        features = dict(dataset.features or {})
        self._image = _image_column(features)
        self._label = choose_column(features, "ClassLabel", LABEL_NAMES)
        self._names = getattr(features.get(self._label or ""), "names", None)
        self._dataset = dataset
        self._count = len(dataset)
        self._labels = _column_alone(dataset, self._label) if self._label is not None else None
        self._reader = ItemReader()
        info = getattr(dataset, "info", None)
        split = getattr(dataset, "split", None)
        title = str(getattr(info, "dataset_name", None) or "huggingface")
        self.name = f"{title}/{split}" if split else title

        transform = getattr(dataset, "format", None)
        if isinstance(transform, dict) and transform.get("type") == "custom":
            self.note = self._reader.settle(self)

    def __len__(self) -> int:
        return self._count

    def load(self, i: int) -> Image.Image:
        """Return photo ``i``, upright, 8-bit RGB; ``DatasetError`` for a row without one."""
        with self._reader.reading(i):
            row = self._dataset[i]
            if self._image not in row:
                raise DatasetError(
                    f"the data set's transform gives {', '.join(map(str, row)) or 'nothing'} and "
                    f"no {self._image!r}; give the data set without it: dataset.with_format(None)"
                )
            value = row[self._image]
            if isinstance(value, dict):  # Image(decode=False)
                source = value.get("bytes")
                where = io.BytesIO(source) if source else str(value["path"])
                return open_photo(where, self.path(i))
            return to_rgb(as_image(value))

    def label(self, i: int) -> str:
        """Return the class name of photo ``i``."""
        if self._labels is None:
            return ""
        with self._reader.looking():
            return class_name(self._labels[i][self._label], self._names)

    def path(self, i: int) -> str:
        """Return ``"name[i]"``: the rows of an Arrow table are no files."""
        return f"{self.name}[{i}]"

    @cached_property
    def fingerprint(self) -> str:
        """The library's own fingerprint, else a hash of length and a sample of eight images.

        Of photos of which the table has the path alone, the state of the files as well.
        """
        own = getattr(self._dataset, "_fingerprint", None)
        parts = [len(self), *(file_state(path) for path in self._files())]
        return digest([own, *parts] if own else [self.name, *parts, *digest_images(self)])

    def _files(self) -> Iterator[str]:
        """The files of photos that are not in the table themselves."""
        column = getattr(getattr(self._dataset, "data", None), "column", None)
        chunks = column(self._image).chunks if column is not None else ()
        for chunk in chunks:
            if not {"bytes", "path"} <= {field.name for field in getattr(chunk.type, "fields", ())}:
                return
            bare = chunk.field("bytes").is_null().to_pylist()
            for path, alone in zip(chunk.field("path").to_pylist(), bare, strict=True):
                if path and alone:
                    yield path


def _image_column(features: dict[str, Any]) -> str:
    """The column of photos; DatasetError where there is none, or more than one."""
    typed = [name for name, feature in features.items() if type(feature).__name__ == "Image"]
    if len(typed) > 1:
        raise DatasetError(
            f"the data set has several image columns: {', '.join(typed)}. Say which with "
            f"dataset.select_columns([{typed[0]!r}]), and the label's column beside it"
        )
    found = typed[0] if typed else choose_column(features, "", IMAGE_NAMES)
    if found is None:
        raise DatasetError(
            f"no image column in the data set; its columns are {', '.join(features)}. "
            "Cast one with dataset.cast_column(name, datasets.Image())"
        )
    return found


def _column_alone(dataset: Any, name: str) -> Any:
    """The table of one column, as it is stored.

    Reading a row of the whole would decode its image, and call the user's transform, which may
    need the other columns.
    """
    if hasattr(dataset, "with_format"):
        dataset = dataset.with_format(None)
    return dataset.select_columns([name]) if hasattr(dataset, "select_columns") else dataset


KIND = DatasetKind(
    name="hugging face",
    takes="a Hugging Face data set",
    order=40,
    recognises=lambda x: hasattr(x, "features") and hasattr(x, "column_names"),
    open=lambda x, split, download: HuggingFaceDataset(x),
)
