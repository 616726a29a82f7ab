"""What one widget shows, and the work behind it, without any notebook.

``session``    the commands of one widget, and what begins when something is selected
``state``      the selection, what was made, the ways to the page and to the worker: what the parts
               below share, which do not know each other
``opening``    the network
``rendering``  the selected neuron's image
``previews``   the gallery's small pictures
``scanning``   the data set and its scan
``photos``     the photos of a neuron
``looking``    a photo that a person brought; ``look_messages``: what is told of it
``store_adapter``  what is found in the store and kept there
``cache``      renderings, photo rows, scans, thumbnails
``handle``     the page's messages as commands; ``messages``: the kernel's
``waiting``    calls from Python that wait; ``updates``: where observers of the traits run
``export``     figures, contact sheets, the Python line
``jobs``       the worker thread
"""

from neuron_widget.session.session import Session
from neuron_widget.session.settings import Settings

__all__ = ["Session", "Settings"]
