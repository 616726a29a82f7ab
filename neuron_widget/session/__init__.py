"""What one widget shows, and the work behind it, without any notebook.

``session``   the selection, the commands, and what a new view is told
``kept``      what was made: renderings, photo rows, scans, thumbnails
``opening``   the network
``rendering`` the selected neuron's image, and the gallery's previews
``scanning``  the data set, its scan, and the photos of a neuron
"""

from neuron_widget.session.session import Session
from neuron_widget.session.settings import Settings

__all__ = ["Session", "Settings"]
