"""Softmax, written in other ways."""

from __future__ import annotations

import torch

from grader.misconceptions.catalogue import Variant


def _textbook(x, dim):
    largest, _ = torch.max(x, dim=dim, keepdim=True)
    exponentials = torch.exp(x - largest)
    return exponentials / torch.sum(exponentials, dim=dim, keepdim=True)


def _through_logarithm(x, dim):
    return torch.exp(x - torch.logsumexp(x, dim, keepdim=True))


def _in_float64(x, dim):
    exponentials = (x.double() - x.double().amax(dim, keepdim=True)).exp()
    return (exponentials / exponentials.sum(dim, keepdim=True)).to(x.dtype)


def _on_moved_copy(x, dim):
    last = x.movedim(dim, -1).clone()
    last -= last.max(-1, keepdim=True).values
    last = last.exp()
    return (last / last.sum(-1, keepdim=True)).movedim(-1, dim)


def _slice_by_slice(x, dim):
    slices = x.unbind(dim)
    largest = slices[0]
    for one in slices[1:]:
        largest = torch.maximum(largest, one)
    exponentials = [torch.exp(one - largest) for one in slices]
    total = sum(exponentials)
    return torch.stack([e / total for e in exponentials], dim)


VARIANTS = (
    Variant("softmax-textbook", "softmax", {"attention.softmax": _textbook}),
    Variant("softmax-through-logarithm", "softmax", {"attention.softmax": _through_logarithm}),
    Variant("softmax-in-float64", "softmax", {"attention.softmax": _in_float64}),
    Variant("softmax-on-moved-copy", "softmax", {"attention.softmax": _on_moved_copy}),
    Variant("softmax-slice-by-slice", "softmax", {"attention.softmax": _slice_by_slice}),
)
