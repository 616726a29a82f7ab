"""Results on disk: rendered images, scans, and checkpoints of scans.

``files``   whole or not there: atomic writes, and what tells a torn file
``keys``    what goes into a name
``folder``  one folder: look-up by name, least recently used removed first
``images``  renderings as lossless WebP; ``scans``: scans as safetensors
``store``   several folders as one store

Importing this imports no torch.
"""

from neuron_widget.store.files import Damaged
from neuron_widget.store.store import Store, StoreLike, default_folder, open_store

__all__ = ["Damaged", "Store", "StoreLike", "default_folder", "open_store"]
