"""How RoPE on longer sequences goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from grader.reference.architecture import rope_scaling
from grader.reference.architecture.rope_scaling import RopeScaling
from grader.reference.rope import RotaryPositionalEmbedding

from .catalogue import Misconception, replacing
from .together import assembled

_right, _rotate = rope_scaling.scaled_frequencies, RotaryPositionalEmbedding.forward
_check = rope_scaling._check
Frequencies = Callable[[float, int, RopeScaling], Tensor]


def _plain(theta: float, d_k: int) -> Tensor:
    return theta ** (-2 * torch.arange(d_k // 2, dtype=torch.float64) / d_k)


def _linear(theta: float, d_k: int, s: RopeScaling) -> Tensor:
    return _plain(theta, d_k) / s.factor


def _ntk(theta: float, d_k: int, s: RopeScaling) -> Tensor:
    return _plain(theta * s.factor ** (d_k / (d_k - 2)), d_k)


def _blend(kept: Tensor, plain: Tensor, factor: float) -> Tensor:
    kept = kept.clamp(0, 1)
    return kept * plain + (1 - kept) * plain / factor


def _borders(low: float, high: float, d_k: int) -> tuple[float, float]:
    low, high = max(math.floor(low), 0), min(math.ceil(high), d_k - 1)
    return low, high if high != low else low + 0.001


def _kept(pairs: Tensor, low: float, high: float) -> Tensor:
    return 1 - (pairs - low) / (high - low)


@assembled
def _yarn_by(
    borders: Callable[[float, float, int], tuple[float, float]] = _borders,
    kept: Callable[[Tensor, float, float], Tensor] = _kept,
    whole_turn: float = 2 * math.pi,
    halves: int = 2,
    mix: Callable[[Tensor, Tensor, float], Tensor] = _blend,
):
    """YaRN with other borders, or another ramp."""

    def yarn(theta: float, d_k: int, s: RopeScaling) -> Tensor:
        def place(turns: float) -> float:
            return d_k * math.log(s.original_max_seq_len / (whole_turn * turns)) / (halves * math.log(theta))

        low, high = borders(place(s.beta_fast), place(s.beta_slow), d_k)
        return mix(kept(torch.arange(d_k // 2, dtype=torch.float64), low, high), _plain(theta, d_k), s.factor)

    return yarn


def _by_turns(turns: Tensor, s: RopeScaling) -> Tensor:
    return (turns - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor)


@assembled
def _llama3_by(
    kept: Callable[[Tensor, RopeScaling], Tensor] = _by_turns,
    whole_turn: float = 2 * math.pi,
    mix: Callable[[Tensor, Tensor, float], Tensor] = _blend,
):
    """Llama 3.1's scaling with another ramp."""

    def llama3(theta: float, d_k: int, s: RopeScaling) -> Tensor:
        plain = _plain(theta, d_k)
        return mix(kept(s.original_max_seq_len * plain / whole_turn, s), plain, s.factor)

    return llama3


_yarn, _llama3 = _yarn_by(), _llama3_by()


@assembled
def _frequencies(
    linear: Frequencies = _linear,
    ntk: Frequencies = _ntk,
    yarn: Frequencies = _yarn,
    llama3: Frequencies = _llama3,
    checked: bool = True,
):
    """The frequencies, one kind or another wrong."""

    def scaled_frequencies(theta, d_k, scaling):
        kinds: Mapping[str, Frequencies] = {"linear": linear, "ntk": ntk, "yarn": yarn, "llama3": llama3}
        if checked:
            _check(d_k, scaling)
            return kinds[scaling.kind](theta, d_k, scaling).float()
        try:
            return kinds.get(scaling.kind, linear)(theta, d_k, scaling).float()
        except ArithmeticError:
            return _plain(theta, d_k).float()

    return scaled_frequencies


def _times(theta, d_k, s):
    return _plain(theta, d_k) * s.factor


def _base_times(theta, d_k, s):
    return _plain(theta * s.factor, d_k)


def _base_by_half(theta, d_k, s):
    return _plain(theta * s.factor ** ((d_k - 2) / d_k), d_k)


def _base_by_pairs(theta, d_k, s):
    """Of half the features, as if d_k counted pairs."""
    return _plain(theta * s.factor ** ((d_k / 2) / (d_k / 2 - 1.5)), d_k)


def _not_rounded(low, high, d_k):
    low, high = max(low, 0), min(high, d_k - 1)
    return low, high if high != low else low + 0.001


def _rounded_inwards(low, high, d_k):
    low, high = max(math.ceil(low), 0), min(math.floor(high), d_k - 1)
    return low, high if high != low else low + 0.001


def _not_clipped(low, high, d_k):
    low, high = math.floor(low), math.ceil(high)
    return low, high if high != low else low + 0.001


def _of_half(low, high, d_k):
    low, high = max(math.floor(low), 0), min(math.ceil(high), d_k // 2 - 1)
    return low, high if high != low else low + 0.001


def _turned_round(pairs, low, high):
    return ((pairs - low) / (high - low)).clamp(0, 1)


def _step(pairs, low, high):
    return (pairs < (low + high) / 2).double()


def _half_ramp(pairs, low, high):
    return 1 - (2 * pairs - low) / (high - low)


def _of_wavelengths(kept, plain, factor):
    """The mean of wavelengths in the place of that of frequencies."""
    kept = kept.clamp(0, 1)
    return 1 / (kept / plain + (1 - kept) * factor / plain)


def _geometric(kept, plain, factor):
    return plain * factor ** (kept.clamp(0, 1) - 1)


def _exchanged(turns, s):
    return 1 - _by_turns(turns, s)


def _abrupt(turns, s):
    return (turns >= (s.low_freq_factor + s.high_freq_factor) / 2).double()


def _by_wavelength(turns, s):
    """Straight in wavelengths, where it is straight in turns."""
    long, short = 1 / s.low_freq_factor, 1 / s.high_freq_factor
    return (long - 1 / turns) / (long - short)


def _usual_borders(turns, s):
    return (turns - 1.0) / 3.0


def _usual_betas(theta, d_k, s):
    usual = RopeScaling("yarn", s.factor, s.original_max_seq_len)
    return _right(theta, d_k, usual).double()


def _unscaled(theta, d_k, s):
    return _plain(theta, d_k)


def _rounds_turns(turns, s):
    return _by_turns(turns.floor(), s)


# ------------------------------------------------------------------------------------------------------------


def _factor_by(formula: Callable[[RopeScaling], float]):
    def attention_factor(scaling):
        return formula(scaling) if scaling.kind == "yarn" else 1.0

    return attention_factor


def _for_all(scaling):
    return 0.1 * math.log(scaling.factor) + 1


def _rotating(x_of: Any = None, positions_of: Any = None, result: Any = None):
    """The rotation with other inputs, or another use of its result."""

    def forward(self, x, token_positions):
        given = x if x_of is None else x_of(x)
        positions = token_positions if positions_of is None else positions_of(self, x, token_positions)
        turned = rope_scaling.attention_factor(self.scaling) * _rotate(self, given, positions)
        return turned if result is None else result(self, x, turned)

    return forward


def _plain_table(self, dtype, device):
    return RotaryPositionalEmbedding._tabulate(self, dtype, device)


def _counts_from_zero(self, x, token_positions):
    return torch.arange(x.shape[-2])


def _positions_divided_too(self, x, token_positions):
    return (token_positions / self.scaling.factor).long()


def _in_place(self, x, turned):
    return x.copy_(turned)


def _in_float32(self, x, turned):
    return turned.float()


def _backwards(self, dtype, device):
    table = _right_table(self, dtype, device)
    return table * torch.tensor([1.0, -1.0], dtype=dtype)


_right_table = rope_scaling.ScaledRotaryEmbedding._tabulate


def _bug(name: str, begins: str) -> Callable[..., Misconception]:
    def bug(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
        place = f"architecture.rope_scaling.{name}"
        return replacing("rope_scaling", place, begins, id, function, diagnosis, hint, **options)

    return bug


_scaled = _bug("scaled_frequencies", "Your frequencies ")
_factor = _bug("attention_factor", "Your attention factor ")
_forward = _bug("ScaledRotaryEmbedding.forward", "Your scaled RoPE ")
_table = _bug("ScaledRotaryEmbedding._tabulate", "Your scaled RoPE ")

MISCONCEPTIONS = (
    _scaled(
        "linear-multiplies",
        _frequencies(linear=_times),
        'for "linear" are multiplied by the factor, where they are divided.',
        "Should a position that is four times as far turn as before, or more?",
        frequency="common",
    ),
    _scaled(
        "ntk-without-exponent",
        _frequencies(ntk=_base_times),
        'for "ntk" have a base that is only multiplied by the factor.',
        "By how much is the last pair slower in your code? It should be the factor.",
        frequency="common",
    ),
    _scaled(
        "ntk-exponent-turned-round",
        _frequencies(ntk=_base_by_half),
        'for "ntk" have the exponent (d_k - 2) / d_k, which is the wrong way round.',
        "By how much is the last pair slower in your code? It should be the factor.",
        forms=[_frequencies(ntk=_base_by_pairs)],
    ),
    _scaled(
        "ntk-is-linear",
        _frequencies(ntk=_linear),
        'for "ntk" are interpolated; it leaves the first pair as it is.',
        "What is the frequency of the first pair in each kind?",
    ),
    _scaled(
        "yarn-borders-not-rounded",
        _frequencies(yarn=_yarn_by(_not_rounded)),
        'for "yarn" have borders that are no whole numbers; the published code takes floor of one and ceil of the '
        "other.",
        "Which pairs are between your borders, and are the borders pairs?",
        frequency="common",
    ),
    _scaled(
        "yarn-borders-rounded-inwards",
        _frequencies(yarn=_yarn_by(_rounded_inwards)),
        'for "yarn" have the ceil of the lower border and the floor of the upper one.',
        "Which of the two makes the ramp longer?",
    ),
    _scaled(
        "yarn-lower-border-below-zero",
        _frequencies(yarn=_yarn_by(_not_clipped)),
        'for "yarn" have a lower border below the first pair, so that the ramp begins too early.',
        "Which is the lower border for 16 features, if training had 256 positions?",
    ),
    _scaled(
        "yarn-upper-border-by-pairs",
        _frequencies(yarn=_yarn_by(_of_half)),
        'for "yarn" have an upper border of at most the last pair; the published code has d_k - 1.',
        "Is the last pair interpolated entirely, if the ramp should end beyond it?",
    ),
    _scaled(
        "yarn-ramp-turned-round",
        _frequencies(yarn=_yarn_by(kept=_turned_round)),
        'for "yarn" interpolate fast pairs and keep slow ones.',
        "What is the frequency of the first pair?",
        frequency="common",
    ),
    _scaled(
        "yarn-without-ramp",
        _frequencies(yarn=_yarn_by(kept=_step)),
        'for "yarn" are either kept or interpolated, with nothing between.',
        "What is the frequency of a pair in the middle of the ramp?",
    ),
    _scaled(
        "yarn-counts-features",
        _frequencies(yarn=_yarn_by(kept=_half_ramp)),
        'for "yarn" compare features 0, 2, 4, ... with borders that count pairs.',
        "At which pair does your ramp end?",
    ),
    _scaled(
        "yarn-without-pi",
        _frequencies(yarn=_yarn_by(whole_turn=1.0)),
        'for "yarn" count radians for turns: 2 pi is missing.',
        "How often does the first pair turn in 256 positions?",
        forms=[_frequencies(yarn=_yarn_by(halves=1))],
    ),
    _scaled(
        "yarn-mixes-wavelengths",
        _frequencies(yarn=_yarn_by(mix=_of_wavelengths)),
        'for "yarn" are a mean of wavelengths, and not of frequencies.',
        "What is halfway between f and f / 4 in your code?",
        forms=[_frequencies(yarn=_yarn_by(mix=_geometric))],
        frequency="rare",
    ),
    _scaled(
        "yarn-ignores-betas",
        _frequencies(yarn=_usual_betas),
        'for "yarn" have 32 and 1 turns for borders, whatever the settings say.',
        "Compare the frequencies for two values of beta_fast.",
        frequency="rare",
    ),
    _scaled(
        "llama3-ramp-turned-round",
        _frequencies(llama3=_llama3_by(_exchanged)),
        'for "llama3" interpolate fast pairs and keep slow ones.',
        "What is the frequency of the first pair?",
        frequency="common",
    ),
    _scaled(
        "llama3-without-ramp",
        _frequencies(llama3=_llama3_by(_abrupt)),
        'for "llama3" are either kept or interpolated, with nothing between.',
        "What is the frequency of a pair that turns twice in training?",
    ),
    _scaled(
        "llama3-ramp-of-wavelengths",
        _frequencies(llama3=_llama3_by(_by_wavelength)),
        'for "llama3" have a ramp that is straight in wavelengths, where it is straight in turns.',
        "What is t_k for a pair that turns 2.5 times, between borders of 1 and 4?",
    ),
    _scaled(
        "llama3-without-pi",
        _frequencies(llama3=_llama3_by(whole_turn=1.0)),
        'for "llama3" count radians for turns: 2 pi is missing.',
        "How often does the first pair turn in 256 positions?",
        frequency="common",
    ),
    _scaled(
        "llama3-whole-turns",
        _frequencies(llama3=_llama3_by(_rounds_turns)),
        'for "llama3" count whole turns only.',
        "What is t_k for a pair that turns 2.5 times, between borders of 1 and 4?",
        frequency="rare",
    ),
    _scaled(
        "llama3-mixes-wavelengths",
        _frequencies(llama3=_llama3_by(mix=_of_wavelengths)),
        'for "llama3" are a mean of wavelengths, and not of frequencies.',
        "What is halfway between f and f / 4 in your code?",
        forms=[_frequencies(llama3=_llama3_by(mix=_geometric))],
        frequency="rare",
    ),
    _scaled(
        "llama3-ignores-borders",
        _frequencies(llama3=_llama3_by(_usual_borders)),
        'for "llama3" have 1 and 4 turns for borders, whatever the settings say.',
        "Compare the frequencies for two values of high_freq_factor.",
        frequency="rare",
    ),
    _scaled(
        "never-scaled",
        _frequencies(_unscaled, _unscaled, _unscaled, _unscaled),
        "are those of plain RoPE, whatever the kind.",
        "Compare the frequencies for two factors.",
        throughout=True,
    ),
    _scaled(
        "takes-impossible-settings",
        _frequencies(checked=False),
        "are given also for settings that cannot be.",
        "What does a factor of 0.5 do to a sequence that is too long?",
    ),
    _factor(
        "without-one",
        _factor_by(lambda s: 0.1 * math.log(s.factor) or 1.0),
        "is 0.1 ln(factor), without the 1.",
        "What is the factor for a factor of 1?",
    ),
    _factor(
        "is-missing",
        _factor_by(lambda s: 1.0),
        'is 1 also for "yarn".',
        "How long is a rotated vector, compared with itself before?",
        frequency="common",
    ),
    _factor(
        "squared",
        _factor_by(lambda s: (0.1 * math.log(s.factor) + 1) ** 2),
        "is squared already, though queries and keys are both multiplied by it.",
        "By what do scores grow, if queries and keys both grow by a?",
        frequency="common",
        forms=[_factor_by(lambda s: (0.1 * math.log(s.factor) + 1) ** 0.5)],
    ),
    _factor(
        "of-another-logarithm",
        _factor_by(lambda s: 0.1 * math.log2(s.factor) + 1),
        "has the logarithm to another base than e.",
        "What is ln 4, and what does your code take?",
        forms=[_factor_by(lambda s: 0.1 * math.log10(s.factor) + 1)],
        frequency="rare",
    ),
    _factor(
        "divides",
        _factor_by(lambda s: 1 / (0.1 * math.log(s.factor) + 1)),
        "is turned round, so that scores become smaller.",
        "Does a rotated vector become longer or shorter?",
        frequency="rare",
    ),
    _factor(
        "for-all-kinds",
        _for_all,
        'is there for all kinds, where only "yarn" has one.',
        'How long is a rotated vector with "linear", compared with itself before?',
    ),
    _table(
        "turns-as-before",
        _plain_table,
        "turns by the angles of plain RoPE.",
        "Where does your rotation use the scaled frequencies?",
        frequency="common",
    ),
    _table(
        "turns-backwards",
        _backwards,
        "turns backwards. Scores do not show it, as long as queries and keys turn alike.",
        "Rotate (1, 0) by position 1: is its second feature positive?",
        frequency="rare",
    ),
    _forward(
        "divides-positions-too",
        _rotating(positions_of=_positions_divided_too),
        "divides positions by the factor as well as frequencies.",
        "How often does the factor stand in your code, from position to angle?",
    ),
    _forward(
        "counts-from-zero",
        _rotating(positions_of=_counts_from_zero),
        "counts from 0 whatever token_positions says.",
        "Rotate the same vector at positions 3 and 7: do the results differ?",
    ),
    _forward(
        "changes-its-input",
        _rotating(result=_in_place),
        "writes into its input.",
        "Print the input before and after a call.",
        frequency="rare",
    ),
    _forward(
        "gives-float32",
        _rotating(result=_in_float32),
        "gives float32 whatever the dtype of its input.",
        "What is the dtype of the result for a bfloat16 input?",
    ),
)
