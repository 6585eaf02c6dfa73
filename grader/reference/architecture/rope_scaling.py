"""RoPE for sequences that are longer than those that a model was trained with."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..rope import RotaryPositionalEmbedding

SCALINGS = ("linear", "ntk", "yarn", "llama3")


@dataclass(frozen=True)
class RopeScaling:
    """How RoPE's frequencies are changed.

    kind: one of SCALINGS.
    factor: how many times longer sequences become; at least 1.
    original_max_seq_len: the longest sequence in training; for "yarn" and "llama3".
    beta_fast, beta_slow: for "yarn": pairs that turn more often than beta_fast in training stay as they are, those that
        turn less often than beta_slow are interpolated.
    high_freq_factor, low_freq_factor: the same for "llama3".

    Problem: rope_scaling
    """

    kind: str
    factor: float
    original_max_seq_len: int = 8192
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0


def scaled_frequencies(theta: float, d_k: int, scaling: RopeScaling) -> Float[Tensor, " pairs"]:
    """The angle per position of each pair k = 0 .. d_k/2 - 1, in float32, where plain RoPE has f_k = theta^(-2k / d_k).

    With s = factor and L = original_max_seq_len:

        linear: f_k / s                                     position interpolation (Chen et al., 2023)
        ntk:    that of plain RoPE with the base theta * s^(d_k / (d_k - 2)), which leaves the first pair as it is and
                gives the last pair f_k / s                 (bloc97, 2023; section 3.1 of the paper on YaRN)
        yarn:   (1 - r_k) f_k + r_k f_k / s                 (Peng et al., 2023, section 3.2, and its published code)
                r_k = (k - low) / (high - low), clipped to 0 .. 1
                low = floor(p(beta_fast)), at least 0        high = ceil(p(beta_slow)), at most d_k - 1
                p(b) = d_k ln(L / (2 pi b)) / (2 ln theta)   the pair that turns b times in L positions
                If low = high, high is 0.001 more.
        llama3: (1 - t_k) f_k / s + t_k f_k                 (Llama 3.1's published code)
                t_k = (L f_k / (2 pi) - low_freq_factor) / (high_freq_factor - low_freq_factor), clipped to 0 .. 1

    Raises:
        ValueError: there is no such kind, d_k is odd, factor is below 1, d_k is 2 with "ntk", beta_fast is not above
            beta_slow, or high_freq_factor not above low_freq_factor; the message has the values.

    Problem: rope_scaling
    """
    _check(d_k, scaling)
    pairs = torch.arange(d_k // 2, dtype=torch.float64)
    factor, length = scaling.factor, scaling.original_max_seq_len
    if scaling.kind == "ntk":
        theta = theta * factor ** (d_k / (d_k - 2))
    plain = theta ** (-2 * pairs / d_k)
    if scaling.kind == "ntk":
        return plain.float()
    if scaling.kind == "yarn":

        def place(turns: float) -> float:
            return d_k * math.log(length / (2 * math.pi * turns)) / (2 * math.log(theta))

        low = max(math.floor(place(scaling.beta_fast)), 0)
        high = min(math.ceil(place(scaling.beta_slow)), d_k - 1)
        kept = 1 - (pairs - low) / (high - low if high != low else 0.001)
    elif scaling.kind == "llama3":
        turns = length * plain / (2 * math.pi)
        kept = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    else:
        kept = torch.zeros_like(plain)
    kept = kept.clamp(0, 1)
    return (kept * plain + (1 - kept) * plain / factor).float()


def attention_factor(scaling: RopeScaling) -> float:
    """What cos and sin are multiplied by: 0.1 ln(factor) + 1 with "yarn" (section 3.4 of its paper), and 1 otherwise.

    Queries and keys both grow by it, and their scores by its square.

    Problem: rope_scaling
    """
    return 0.1 * math.log(scaling.factor) + 1 if scaling.kind == "yarn" else 1.0


class ScaledRotaryEmbedding(RotaryPositionalEmbedding):
    """RoPE with the angles of `scaled_frequencies`, whose results are multiplied by `attention_factor`.

    Args:
        theta, d_k, max_seq_len, device: as for the base model's RoPE, with max_seq_len after scaling.
        scaling: how.

    Raises:
        ValueError: as for `scaled_frequencies`.

    Problem: rope_scaling
    """

    def __init__(
        self,
        theta: float,
        d_k: int,
        max_seq_len: int,
        scaling: RopeScaling,
        device: torch.device | str | None = None,
    ) -> None:
        _check(d_k, scaling)
        self.scaling = scaling  # before RoPE's own constructor, which tabulates
        super().__init__(theta, d_k, max_seq_len, device)

    def forward(
        self, x: Float[Tensor, " ... seq d_k"], token_positions: Int[Tensor, " ... seq"]
    ) -> Float[Tensor, " ... seq d_k"]:
        """Rotate every vector of `x` by its position, and multiply it; the result has the shape and dtype of `x`."""
        return attention_factor(self.scaling) * super().forward(x, token_positions)

    def _tabulate(self, dtype: torch.dtype, device: torch.device | str | None) -> Tensor:
        positions = torch.arange(self.max_seq_len, dtype=torch.float64, device="cpu")
        angles = torch.outer(positions, scaled_frequencies(self.theta, self.d_k, self.scaling).double())
        return torch.stack((angles.cos(), angles.sin()), dim=-1).to(dtype).to(device)


def _check(d_k: int, scaling: RopeScaling) -> None:
    kind, factor = scaling.kind, scaling.factor
    if kind not in SCALINGS:
        raise ValueError(f"no scaling is called {kind!r}; there are {', '.join(SCALINGS)}.")
    if d_k % 2 or d_k < 2:
        raise ValueError(f"RoPE rotates features in pairs, but d_k is {d_k}; choose an even d_k.")
    if factor < 1:
        raise ValueError(f"factor is {factor}; sequences become longer, so it must be at least 1.")
    if kind == "ntk" and d_k == 2:
        raise ValueError("with d_k = 2, 'ntk' has no last pair beside the first; take d_k of 4 or more.")
    for one, fast, slow in (
        ("yarn", "beta_fast", "beta_slow"),
        ("llama3", "high_freq_factor", "low_freq_factor"),
    ):
        if kind == one and getattr(scaling, fast) <= getattr(scaling, slow):
            raise ValueError(
                f"{fast} is {getattr(scaling, fast)} and must be above {slow}, which is {getattr(scaling, slow)}."
            )
