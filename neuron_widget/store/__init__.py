"""Results on disk: rendered images, scans, and checkpoints of scans.

``files``   whole or not there: atomic writes, and what tells a torn file
``keys``    what goes into a name
``folder``  one folder: look-up by name, least recently used removed first; ``folders``: several
``images``  renderings as lossless WebP; ``scans``, ``maps``, ``galleries``: as safetensors
``store``   what people call; its halves are ``renderings`` and ``scan_store``
``reuse``   rendering and scanning that ask the store first
``checkpoints`` of scans; ``claims`` of processes that fill one store; ``fill``: a whole layer

Importing this imports no torch.
"""

from neuron_widget.durable import Damaged
from neuron_widget.store.store import Store, StoreLike, default_folder, open_store

__all__ = ["Damaged", "Store", "StoreLike", "default_folder", "open_store"]
