"""The store: results looked up by what makes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import StoreError
from neuron_widget.store.catalogue import Catalogue
from neuron_widget.store.package import PACKAGED
from neuron_widget.store.parts import Parts
from neuron_widget.store.renderings import Renderings
from neuron_widget.store.vectors import Vectors

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.rendering import RenderResult
    from neuron_widget.scanning import ScanResult

__all__ = ["ENVIRONMENT_VARIABLE", "Store", "StoreLike", "default_folder", "open_store"]

ENVIRONMENT_VARIABLE = "NEURON_WIDGET_STORE"
OFF = ("off", "none", "0", "false")

StoreLike = Any  # a Store, a folder, a list of folders, None for the default, False for none


def default_folder() -> Path:
    """The platform's cache folder for this package."""
    from platformdirs import user_cache_path

    return user_cache_path("neuron-widget", appauthor=False) / "store"


def open_store(where: StoreLike = None) -> Store | None:
    """Return the store that ``where`` means.

    ``None``: what ``NEURON_WIDGET_STORE`` names (``off`` for none), else the platform's cache
    folder. ``False``: none. A folder, or folders of which all but the last are only read; the
    variable may name several too, separated like ``PATH``. What comes with the package is looked
    into last.

    Opening reads nothing and makes nothing.
    """
    if isinstance(where, Store) or where is False:
        return where or None
    if where is None:
        named = os.environ.get(ENVIRONMENT_VARIABLE, "")
        if named.lower() in OFF:
            return None
        where = [part for part in named.split(os.pathsep) if part] or default_folder()
    if isinstance(where, str | os.PathLike):
        where = [where]
    if not isinstance(where, Sequence) or not all(isinstance(w, str | os.PathLike) for w in where):
        raise StoreError(
            f"store must be a folder, a list of folders (the last one is written to), None for the "
            f"default or False for none; got {where!r}"
        )
    if not where:
        raise StoreError("store is an empty list; expected folders, None, or False for no store")
    *others, own = where
    return Store(own, read_only=others, packaged=PACKAGED)


class Store(Renderings, Parts, Vectors, Catalogue):
    """Rendered images, scans, checkpoints and observers' vectors on disk.

    Parameters
    ----------
    folder
        Where results are written. It is made when there is something to write.
    read_only
        Folders looked into before it; never written to, touched or removed from.
    limit
        Bytes in ``folder``; when they are exceeded, what was used least recently is removed.
    report
        Called with one line for what goes wrong beside the work: torn files, a full disk. Each is
        reported once. Default: the log ``neuron_widget.store``.
    packaged
        The folder that comes with the package; None for none.

    Notes
    -----
    A look-up opens one file by its name, in each folder in turn. Any number of processes may use
    one store: files appear whole, and two that make the same result write the same file.
    """

    def keep(self, model: VisionModel, result: RenderResult | ScanResult, **how: Any) -> bool:
        """Write a result if that is possible; else report why and return False.

        Reported once, until writing works again.
        """
        from neuron_widget.scanning import ScanResult

        try:
            if isinstance(result, ScanResult):
                self.put_scan(model, result, **how)
            else:
                self.put_render(model, result, **how)
        except StoreError as error:
            self.fail(error)
            return False
        self.failure = None
        return True
