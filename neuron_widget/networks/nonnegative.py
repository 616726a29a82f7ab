"""Non-negative least squares at every position of a map, with a gradient.

Of an activation ``a`` the features are the ``f >= 0`` that rebuild it best from the dictionary's
rows: they minimise ``|a - f D|^2``. That is how non-negative matrix factorisation reads new data.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["NonNegative"]

# Iterations: while an image forms (a fixed number, so that a GPU need not be asked), and at most
# where the exact answer is wanted; looked at every so many.
_FORMING = 10
_MOST = 2000
_CHECK = 25
_TOLERANCE = 1e-6  # of the largest feature
_BACK = 8


class NonNegative:
    """Non-negative least squares against the rows of one dictionary.

    Parameters
    ----------
    directions
        ``(K, C)`` float32, none of them all 0.

    Notes
    -----
    Solved by FISTA (Beck and Teboulle 2009) with restarts (O'Donoghue and Candes 2015), on rows of
    length 1. The gradient is that of the solution: of the features that are above 0, with the
    others held at 0. A feature that is 0 all over an image has none; then it gets the one that
    would raise it first, as redirected ReLU does.
    """

    def __init__(self, directions: Tensor):
        self.lengths = directions.norm(dim=1)
        self.unit = directions / self.lengths[:, None]
        self.gram = self.unit @ self.unit.T
        # The largest eigenvalue, and a little more: the step is its inverse.
        top = torch.linalg.eigvalsh(self.gram.double().cpu())[-1].item()
        self.step = 1.0 / (1.0001 * max(top, 1e-12))

    def __call__(self, activation: Tensor) -> Tensor:
        """``(N, C, h, w)`` float32 -> ``(N, K, h, w)``, never negative."""
        found: Tensor = _Solve.apply(activation, self)
        return found

    def solve(self, rows: Tensor, *, forming: bool) -> Tensor:
        """Features ``(n, p, K)`` of ``(n, p, C)``, in units of rows of length 1.

        Image by image (``bmm``): the last bits of what an image gets depend on no other one.
        """
        gram = self.gram.expand(len(rows), -1, -1)
        wanted = torch.bmm(rows, self.unit.T.expand(len(rows), -1, -1)).mul_(self.step)
        f: Tensor = wanted.clamp(min=0)
        ahead, momentum = f, torch.ones((*f.shape[:2], 1), device=rows.device)
        for i in range(_FORMING if forming else _MOST):
            new = torch.baddbmm(ahead, ahead, gram, alpha=-self.step).add_(wanted).clamp_(min=0)
            moved = new - f
            # Where the step goes back on the one before, momentum begins anew.
            on = (((ahead - new) * moved).sum(dim=-1, keepdim=True) <= 0).to(f.dtype)
            then = (1 + (1 + 4 * momentum.square()).sqrt()).mul_(0.5)
            ahead = torch.addcmul(new, moved, on * (momentum - 1) / then)
            momentum = 1 + on * (then - 1)
            f = new
            if (
                not forming
                and (i + 1) % _CHECK == 0
                and not bool(moved.abs().max() > _TOLERANCE * self.step * f.abs().max())
            ):
                break
        return f

    def solve_among(self, active: Tensor, wanted: Tensor) -> Tensor:
        """``x`` with ``G x = wanted`` among the active features, 0 elsewhere; ``(n, p, K)`` each.

        Conjugate gradients, a fixed number of steps.
        """
        gram = self.gram.expand(len(wanted), -1, -1)
        x: Tensor = torch.zeros_like(wanted)
        left = wanted * active
        way = left
        size = left.square().sum(-1, keepdim=True)
        for _ in range(min(_BACK, len(self.gram))):
            through = torch.bmm(way, gram).mul_(active)
            far = size / (way * through).sum(-1, keepdim=True).clamp_(min=1e-20)
            x = torch.addcmul(x, far, way)
            left = torch.addcmul(left, far, through, value=-1)
            now = left.square().sum(-1, keepdim=True)
            way = torch.addcmul(left, now / size.clamp(min=1e-20), way)
            size = now
        return x


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, activation: Tensor, problem: NonNegative) -> Tensor:
        n, _, height, width = activation.shape
        rows = activation.flatten(2).transpose(1, 2)
        forming = bool(ctx.needs_input_grad[0])
        f = problem.solve(rows, forming=forming)
        if forming:
            ctx.problem, ctx.shape = problem, activation.shape
            ctx.save_for_backward(f)
        found: Tensor = (f / problem.lengths).view(n, height, width, -1).permute(0, 3, 1, 2)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (f,), problem = ctx.saved_tensors, ctx.problem
        n, channels, height, width = ctx.shape
        grad = grads[0].flatten(2).transpose(1, 2) / problem.lengths
        active = (f > 0).to(f.dtype)
        x = problem.solve_among(active, grad)
        # Optimisers descend: a negative gradient raises a feature, which is what a dead one needs.
        x = x + (1 - active.amax(dim=1, keepdim=True)) * grad.clamp(max=0)
        back = torch.bmm(x, problem.unit.expand(n, -1, -1))
        return back.transpose(1, 2).reshape(n, channels, height, width), None
