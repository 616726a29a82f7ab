"""Colours whose axes are uncorrelated in natural images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLOUR"]

# Square root of the colour covariance of ImageNet, as lucid ships it; rows are R, G, B.
_SVD_SQRT = np.array(((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03)))

COLOUR: NDArray[np.float64] = _SVD_SQRT / np.linalg.norm(_SVD_SQRT, axis=0).max()
"""``(3, 3)``: from decorrelated colours to what a sigmoid makes RGB."""
