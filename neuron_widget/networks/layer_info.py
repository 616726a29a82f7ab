"""What is known of a layer, also before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass, field

from neuron_widget.errors import TargetError, nearest
from neuron_widget.names import OUTPUT

__all__ = ["TOKENS", "LayerInfo", "outputs_layer"]


@dataclass(frozen=True)
class LayerInfo:
    """A layer: its name and the shape of its activation at the model's input size.

    Attributes
    ----------
    name
        The module's name; with the token's behind it for a prefix token (``blocks.8.cls``).
    channels
        Number of neurons.
    height, width
        Size of the map.
    word
        What its neurons are: ``"neuron"``, ``"class"`` of the network's outputs, or ``"feature"``
        of a dictionary.
    signed
        Whether a value below 0 is an answer as one above it: then no neuron is called dead.
    names
        Names of its neurons, ``""`` where one has none; empty where they go by numbers.
    kind
        ``"maps"``; ``"tokens"`` for the patches of a transformer, ``"token"`` for one of its prefix
        tokens; ``"vector"`` for a layer without places.
    group
        Where it stands in the menu: ``"stem"``, the name of its stage or of the list of blocks,
        ``"head"``; empty for what is not in the menu.
    """

    name: str
    channels: int
    height: int
    width: int
    word: str = field(default="neuron", repr=False)
    signed: bool = field(default=False, repr=False)
    names: tuple[str, ...] = field(default=(), repr=False)
    kind: str = field(default="maps", repr=False, compare=False)
    group: str = field(default="", repr=False, compare=False)

    @property
    def words(self) -> str:
        """What several of its neurons are: ``"classes"``."""
        return f"{self.word}es" if self.word.endswith("s") else f"{self.word}s"

    def called(self, neuron: int) -> str:
        """The neuron's name, or its number."""
        return (self.names[neuron] if self.names else "") or str(neuron)

    def title(self, neuron: int) -> str:
        """How people call a neuron: ``"mixed4a neuron 68"``, ``"logits class tabby"``."""
        return f"{self.name} {self.word} {self.called(neuron)}"

    def find(self, name: str) -> int:
        """The neuron of this name; upper and lower case are alike.

        Raises
        ------
        TargetError
            With the nearest names, or the numbers of those that share it.
        """
        wanted = " ".join(name.casefold().split())
        own = [i for i, one in enumerate(self.names) if one.casefold() == wanted]
        if len(own) == 1:
            return own[0]
        if own:
            those = ", ".join(f"'{self.name}:{i}'" for i in own)
            raise TargetError(f"{len(own)} neurons of {self.name} are called {name!r}: {those}")
        if not any(self.names):
            raise TargetError(
                f"the neurons of layer {self.name} go by numbers, 0 to {self.channels - 1}, and "
                f"have no names; got {name!r}"
            )
        lower = {one.casefold(): one for one in self.names if one}
        within = [one for low, one in lower.items() if wanted in low][:3]
        hint = f"did you mean {', '.join(map(repr, within))}?" if within else ""
        if not hint and (near := nearest(wanted, lower)):
            hint = near
        raise TargetError(
            f"no {self.word} of {self.name} is called {name!r}; "
            f"{hint or f'it has names such as {next(iter(lower.values()))!r}'}"
        )


TOKENS = ("tokens", "token")
"""Kinds whose values are as often below 0 as above."""


def outputs_layer(count: int, names: tuple[str, ...] = ()) -> LayerInfo:
    """The layer of so many outputs: classes, each with a number for the whole image."""
    return LayerInfo(OUTPUT, count, 1, 1, "class", True, names, kind="vector", group="head")
