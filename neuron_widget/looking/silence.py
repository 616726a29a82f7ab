"""What a network answers for a photo when some of its neurons are switched off or turned up.

That is a measurement of cause: the network runs on to its end with these channels replaced, as a
lesion or a stimulation does it in a brain (ablation, or activation patching, in the field's words).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLASSES", "Changed", "ClassScore", "as_probabilities"]

CLASSES = 5

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class ClassScore:
    """One class before and after the change.

    Attributes
    ----------
    output
        Its number among the network's outputs.
    label
        Its name; ``""`` where the network has none.
    before, after
        Its probability, 0..1 (the softmax of the outputs).
    logit_before, logit_after
        The output itself.
    rank_before, rank_after
        Its place among all classes, from 0.
    """

    output: int
    label: str
    before: float
    after: float
    logit_before: float
    logit_after: float
    rank_before: int
    rank_after: int

    @property
    def name(self) -> str:
        """The label, or the output's number."""
        return self.label or f"output {self.output}"

    @property
    def change(self) -> float:
        """How much more probable it is after the change, -1..1."""
        return self.after - self.before


@dataclass(frozen=True, eq=False)
class Changed:
    """A network's answer for one photo, before and after some neurons were changed.

    Attributes
    ----------
    layer, neurons
        Which neurons.
    how
        What was done to them, in words: ``"zero"``, ``"their mean over the data set"``,
        ``"2 times"``.
    before, after
        The network's outputs, ``(classes,)`` float32.
    labels
        Names of the outputs, where the network has them.
    """

    layer: str
    neurons: tuple[int, ...]
    how: str
    before: Numbers
    after: Numbers
    labels: tuple[str, ...] | None

    def best(self, n: int = CLASSES) -> list[ClassScore]:
        """The ``n`` best classes before, best first; then those that are so only after."""
        p, q = as_probabilities(self.before), as_probabilities(self.after)
        places = [np.argsort(np.argsort(-x, kind="stable")) for x in (self.before, self.after)]
        first, then = (np.argsort(-x, kind="stable")[:n] for x in (self.before, self.after))
        return [
            ClassScore(
                output=int(i),
                label=self._label(int(i)),
                before=float(p[i]),
                after=float(q[i]),
                logit_before=float(self.before[i]),
                logit_after=float(self.after[i]),
                rank_before=int(places[0][i]),
                rank_after=int(places[1][i]),
            )
            for i in [*first, *(i for i in then if i not in first)]
        ]

    def _label(self, output: int) -> str:
        return self.labels[output] if self.labels and output < len(self.labels) else ""

    def __repr__(self) -> str:
        rows = [
            f"{c.name[:40]:40} {c.before:7.1%} -> {c.after:7.1%}  {c.change:+7.1%}"
            for c in self.best()
        ]
        neurons = ", ".join(map(str, self.neurons))
        return "\n".join([f"{self.layer} neuron {neurons} set to {self.how}", *rows])


def as_probabilities(outputs: Numbers | Sequence[float]) -> Numbers:
    """The softmax of the outputs; themselves where they are probabilities already."""
    values = np.asarray(outputs, np.float64)
    if not (values.min(initial=0) >= 0 and abs(values.sum() - 1) < 1e-3):
        values = np.exp(values - values.max(initial=-np.inf))
        values /= values.sum()
    return values.astype(np.float32)
