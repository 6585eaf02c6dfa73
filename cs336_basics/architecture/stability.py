"""What keeps logits, scores and losses from running away, and the weights that both ends of a model share."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..layers import Embedding


def soft_cap(x: Float[Tensor, " ..."], cap: float) -> Float[Tensor, " ..."]:
    """Squeeze numbers smoothly into (-cap, cap): cap tanh(x / cap) (Bello et al., 2016; Gemma 2).

    Small numbers stay nearly what they are, and the gradient never is exactly that of a clipped number, 0.

    Args:
        x: of any shape; the result has its shape and dtype.
        cap: the bound, above 0. Gemma 2 has 50 for the scores of attention and 30 for the logits of the model.

    Raises:
        ValueError: cap is 0 or less; the message has it.

    Problem: stability
    """
    raise NotImplementedError("stability: write soft_cap in cs336_basics/architecture/stability.py")


def soft_cap_attention(
    Q: Float[Tensor, " ... queries d_k"],
    K: Float[Tensor, " ... keys d_k"],
    V: Float[Tensor, " ... keys d_v"],
    mask: Bool[Tensor, " ... queries keys"] | None,
    cap: float,
) -> Float[Tensor, " ... queries d_v"]:
    """Scaled dot-product attention with capped scores (Gemma Team, 2024, *Gemma 2*, section 2):

        softmax(soft_cap(Q K^T / sqrt(d_k))) V

    Scores are capped as the softmax would see them: divided by sqrt(d_k) already, and not masked yet. A cap on minus
    infinity is -cap, and what is masked would be seen.

    Args:
        Q, K, V, mask: as for `scaled_dot_product_attention`.
        cap: as for `soft_cap`.

    Raises:
        ValueError: as `soft_cap`.

    Problem: stability
    """
    raise NotImplementedError("stability: write soft_cap_attention in cs336_basics/architecture/stability.py")


def z_loss(logits: Float[Tensor, " ... vocab_size"], coefficient: float = 1e-4) -> Float[Tensor, ""]:
    """What is added to the loss so that logits do not drift (Devlin et al., 2014; PaLM, 2022, section 5):

        coefficient * mean((log Z)^2)        Z = sum_i e^(logit_i)

    Adding a number to all logits of a row changes no probability, and so no cross-entropy; this pulls log Z to 0. The
    square comes first, then the mean over all rows. Finite for logits of any size, as `cross_entropy` is.

    Args:
        logits: one row per prediction, with any number of leading dimensions.
        coefficient: at least 0.

    Returns:
        A scalar. Half-precision logits are summed up in float32 and give a float32 loss.

    Raises:
        ValueError: coefficient is below 0; the message has it.

    Problem: stability
    """
    raise NotImplementedError("stability: write z_loss in cs336_basics/architecture/stability.py")


def smoothed_cross_entropy(
    logits: Float[Tensor, " ... vocab_size"], targets: Int[Tensor, " ..."], smoothing: float
) -> Float[Tensor, ""]:
    """Cross-entropy with smoothed labels (Szegedy et al., 2015, section 7; the original Transformer has 0.1):

        mean of -sum_i q_i log p_i        q = (1 - smoothing) onehot(target) + smoothing / vocab_size

    Every class gets its part of `smoothing`, the target, too. Finite for logits of any size.

    Args:
        logits, targets: as for `cross_entropy`.
        smoothing: at least 0 and below 1; with 0 it is `cross_entropy`.

    Raises:
        ValueError: smoothing is outside of [0, 1); the message has it.

    Problem: stability
    """
    raise NotImplementedError("stability: write smoothed_cross_entropy in cs336_basics/architecture/stability.py")


class TiedEmbedding(Embedding):
    """A table of tokens that is the head, too (Press and Wolf, 2016; Vaswani et al., 2017, section 3.4):

        forward(token_ids) = sqrt(d_model) weight[token_ids]        logits(x) = weight x

    There is one parameter, `weight` of shape [vocab_size, d_model], which gets the gradients of both uses. It starts
    with variance 1 / d_model, so that logits start near 1; the factor brings embeddings to variance 1. Gemma has it,
    and rounds it to the type of the weights; GPT-2 ties without it.

    Args:
        vocab_size: number of token ids.
        d_model: size of each vector.
        scaled: whether embeddings are multiplied by sqrt(d_model). Logits never are.
        device: where the parameter lives; None means torch's default.
        dtype: type of the parameter; None means torch's default.

    Problem: stability
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        scaled: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        raise NotImplementedError("stability: write TiedEmbedding.__init__ in cs336_basics/architecture/stability.py")

    def forward(self, token_ids: Int[Tensor, " ..."]) -> Float[Tensor, " ... d_model"]:
        """Look up the vector of every token id."""
        raise NotImplementedError("stability: write TiedEmbedding.forward in cs336_basics/architecture/stability.py")

    def logits(self, x: Float[Tensor, " ... d_model"]) -> Float[Tensor, " ... vocab_size"]:
        """Score every token by its dot product with `x`."""
        raise NotImplementedError("stability: write TiedEmbedding.logits in cs336_basics/architecture/stability.py")
