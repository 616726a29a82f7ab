"""Who looks on: work that nobody sees any more ends."""

from __future__ import annotations

from collections.abc import Generator

from neuron_widget.session.state import State

__all__ = ["note_view"]

# A page that reloads is back within seconds.
GONE_S = 20.0

ENDS = (
    "render",
    "dataset",
    "scan",
    "preview",
    "photos",
    "measure",
    "learn",
    "facets",
    "between",
)


def note_view(state: State, name: str, *, visible: bool, gone: bool = False) -> None:
    """A view (or a Python call that waits) came, left sight, or is gone.

    What nobody looks at any more ends: in notebooks that do not say which cell runs, this is how
    the widget of a cell that was run again stops working.
    """
    state.frames.view(name, visible=visible, gone=gone)

    def leave() -> Generator[None, None, None]:
        yield
        if not state.frames.views:
            # Not because a person wants it so: it goes on when somebody looks again.
            state.stop(*ENDS)

    if not state.frames.views and state.frames.had_page and not state.closed:
        state.submit("leave", leave(), lambda _: None, priority=0, delay=GONE_S)
    else:
        state.stop("leave")
