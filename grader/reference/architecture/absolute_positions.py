"""Positions that are added to token embeddings: a vector for each place in the sequence."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..layers import Embedding

SINUSOIDAL_LAYOUTS = ("interleaved", "halves")


def sinusoidal_table(
    num_positions: int,
    d_model: int,
    layout: str = "interleaved",
    base: float = 10000.0,
    device: torch.device | str | None = None,
) -> Float[Tensor, "num_positions d_model"]:
    """One vector of sines and cosines for each position 0 .. num_positions - 1, in float32 (Vaswani et al., 2017,
    section 3.5). Position i has d_model / 2 angles, for k = 0 .. d_model/2 - 1, each with a sine and a cosine:

        angle_{i,k} = i / base^(2k / d_model)

        interleaved: sin angle_0, cos angle_0, sin angle_1, cos angle_1, ...    the paper, XLM
        halves:      sin angle_0, sin angle_1, ..., cos angle_0, cos angle_1, ...    tensor2tensor, Marian

    Args:
        num_positions: number of rows, at least 1.
        d_model: size of each row; even.
        layout: one of SINUSOIDAL_LAYOUTS.
        base: of the wavelengths.
        device: where the table is; None means torch's default.

    Raises:
        ValueError: d_model is odd, num_positions is below 1, or there is no such layout; the message has the value.

    Problem: sinusoidal_embedding
    """
    if layout not in SINUSOIDAL_LAYOUTS:
        raise ValueError(f"no layout is called {layout!r}; there are {', '.join(SINUSOIDAL_LAYOUTS)}.")
    if d_model < 2 or d_model % 2:
        raise ValueError(f"d_model is {d_model}; each angle has a sine and a cosine, so choose an even number.")
    if num_positions < 1:
        raise ValueError(f"num_positions is {num_positions}, and must be at least 1.")
    # In float64, as a float32 angle near 10,000 is off by up to 5e-4.
    positions = torch.arange(num_positions, dtype=torch.float64, device="cpu")
    features = torch.arange(0, d_model, 2, dtype=torch.float64, device="cpu")
    angles = torch.outer(positions, base ** (-features / d_model))
    table = torch.stack((angles.sin(), angles.cos()), dim=-1)
    if layout == "halves":
        table = table.transpose(-2, -1)
    return table.flatten(-2).to(torch.float32).to(device)


class SinusoidalPositions(nn.Module):
    """Adds a row of `sinusoidal_table` to every vector. There are no parameters, and nothing is in the state dict.

    Args:
        max_seq_len: positions run from 0 to max_seq_len - 1.
        d_model: size of the last dimension of the input; even.
        layout, base: as for `sinusoidal_table`.
        device: where the table is; None means torch's default.

    Raises:
        ValueError: as for `sinusoidal_table`.

    Problem: sinusoidal_embedding
    """

    def __init__(
        self,
        max_seq_len: int,
        d_model: int,
        layout: str = "interleaved",
        base: float = 10000.0,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.max_seq_len = max_seq_len
        # Not a buffer, because `model.to(torch.bfloat16)` would round it.
        self._table = sinusoidal_table(max_seq_len, d_model, layout, base, device)

    def forward(
        self, x: Float[Tensor, " ... seq d_model"], token_positions: Int[Tensor, " ... seq"] | None = None
    ) -> Float[Tensor, " ... seq d_model"]:
        """Add to every vector of `x` the row of its position; the result has the shape and dtype of `x`.

        The leading dimensions of `token_positions` broadcast to those of `x`; None means positions 0, 1, 2, ...

        Raises:
            ValueError: a position is outside of the table; the message has it and max_seq_len. Without positions, it
                has the length of the sequence.
        """
        return x + self._table.to(x.device)[_places(x, token_positions, self.max_seq_len)].to(x.dtype)


class LearnedPositions(Embedding):
    """Adds a learned vector for its position to every vector, as GPT-2 and BERT do (Radford et al., 2019).

    The parameter `weight`, of shape [max_seq_len, d_model], is all that there is: an Embedding whose ids are positions,
    and which starts as one.

    Args:
        max_seq_len: positions run from 0 to max_seq_len - 1.
        d_model: size of the last dimension of the input.
        device: where the parameter lives; None means torch's default.
        dtype: type of the parameter; None means torch's default.

    Raises:
        ValueError: max_seq_len is below 1; the message has it.

    Problem: learned_positions
    """

    def __init__(
        self,
        max_seq_len: int,
        d_model: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if max_seq_len < 1:
            raise ValueError(f"max_seq_len is {max_seq_len}; a table of positions needs at least 1.")
        super().__init__(max_seq_len, d_model, device, dtype)
        self.max_seq_len = max_seq_len

    def forward(
        self, x: Float[Tensor, " ... seq d_model"], token_positions: Int[Tensor, " ... seq"] | None = None
    ) -> Float[Tensor, " ... seq d_model"]:
        """Add to every vector of `x` the row of its position.

        The leading dimensions of `token_positions` broadcast to those of `x`; None means positions 0, 1, 2, ...

        Raises:
            ValueError: a position is outside of the table; the message has it and max_seq_len. Without positions, it
                has the length of the sequence.
        """
        return x + super().forward(_places(x, token_positions, self.max_seq_len))


def _places(x: Tensor, token_positions: Tensor | None, max_seq_len: int) -> Tensor:
    """The rows to add: `token_positions`, or 0, 1, 2, ..., none of them outside of a table of max_seq_len rows."""
    seq_len = x.shape[-2]
    if token_positions is None:
        if seq_len > max_seq_len:
            raise ValueError(f"a sequence of {seq_len} tokens needs as many positions; the table has {max_seq_len}.")
        return torch.arange(seq_len, device=x.device)
    outside = token_positions[(token_positions < 0) | (token_positions >= max_seq_len)]
    if outside.numel():
        raise ValueError(f"there is no position {outside[0].item()} in a table of {max_seq_len}, which begins at 0.")
    return token_positions
