"""What sessions of one process have in common, where they look into the same network."""

from __future__ import annotations

import queue
import threading
from collections.abc import Hashable
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from neuron_widget.networks.known import Network
    from neuron_widget.session.cache import Thumb
    from neuron_widget.session.settings import Recipe

__all__ = ["Together"]


class Member(Protocol):
    """A session's state."""

    @property
    def network(self) -> Network | None:
        """The network whose results are shown."""

    def take_thumbs(self, recipe: Recipe, layer: str, made: dict[int, Thumb]) -> None:
        """Show what another one made."""


class _News(NamedTuple):
    maker: Member
    identity: str
    recipe: Recipe
    layer: str
    made: dict[int, Thumb]


class Together:
    """Thumbnails that one session makes, all have; and previews of a layer one of them makes.

    Not of a dictionary's layer (``mixed4a/nmf32``): each session has learnt its own.

    Attributes
    ----------
    most
        Pictures and photo rows that each session remembers; the store has the others.
    """

    most = 12

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: list[Member] = []
        self._makers: dict[Hashable, Member] = {}
        self._news: queue.SimpleQueue[_News] = queue.SimpleQueue()
        threading.Thread(target=self._pass_on, name="thumbnails", daemon=True).start()

    def join(self, state: Member) -> None:
        """A session comes."""
        with self._lock:
            self._members.append(state)

    def leave(self, state: Member) -> None:
        """It goes."""
        with self._lock:
            self._members = [member for member in self._members if member is not state]
        self.free(state)

    def may_make(self, state: Member, recipe: Recipe, layer: str) -> bool:
        """Whether this session makes a layer's previews: no other does."""
        if state.network is None or "/" in layer:
            return True
        with self._lock:
            what = state.network.identity, recipe, layer
            return self._makers.setdefault(what, state) is state

    def free(self, state: Member) -> None:
        """A session makes nothing any more: another may."""
        with self._lock:
            self._makers = {
                what: maker for what, maker in self._makers.items() if maker is not state
            }

    def tell(self, state: Member, recipe: Recipe, layer: str, made: dict[int, Thumb]) -> None:
        """A session has new thumbnails. Returns at once: the others have locks of their own."""
        if state.network is not None and "/" not in layer:
            self._news.put(_News(state, state.network.identity, recipe, layer, made))

    def _pass_on(self) -> None:
        while True:
            news = self._news.get()
            with self._lock:
                others = [member for member in self._members if member is not news.maker]
            for other in others:
                network = other.network
                if network is not None and network.identity == news.identity:
                    other.take_thumbs(news.recipe, news.layer, news.made)
