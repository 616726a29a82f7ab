"""Results on disk: rendered images, scans, checkpoints of scans, maps and galleries.

``keys``       what goes into a name
``folder``     one folder: look-up by name, least recently used removed first; ``folders``: several
``store``      what people call; its parts are ``renderings``, ``scan_store`` and ``vectors``
``maps``, ``galleries``, ``vectors``, ``checkpoints``, ``catalogue``: what else is kept
``package``    what comes with the package, looked into last; ``prerender`` makes it
``reuse``      rendering and scanning that ask the store first; ``fill``: a whole layer
``locks``      who makes what just now; ``sharing``: each result made once among all who want it

The files themselves are in :mod:`neuron_widget.durable` (and what images and scans say of
themselves in ``rendering.files``, ``scanning.files``). Nothing that is read is believed: see
:mod:`.folder`. Importing this imports no torch.
"""

from neuron_widget.durable import Damaged
from neuron_widget.store.store import Store, StoreLike, default_folder, open_store

__all__ = ["Damaged", "Store", "StoreLike", "default_folder", "open_store"]
