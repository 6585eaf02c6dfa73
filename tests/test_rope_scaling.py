"""RoPE for longer sequences: position interpolation, NTK-aware base, YaRN, and Llama 3.1's."""

from typing import Any

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.compare import Tolerance, compare
from grader.checks.refusals import check_refused
from grader.checks.untouched import inputs_after

pytestmark = pytest.mark.own_adapter


@pytest.mark.cases("linear")
def test_position_interpolation(submission, case):
    """With "linear", every pair turns more slowly by the factor.

    Asked: problem rope_scaling, the table of kinds.
    """
    case.check(submission.run_scaled_frequencies(**case.inputs))


@pytest.mark.cases("ntk")
def test_ntk(submission, case):
    """With "ntk", the base grows by factor^(d_k / (d_k - 2)).

    Asked: problem rope_scaling, the table of kinds.
    """
    case.check(submission.run_scaled_frequencies(**case.inputs))


@pytest.mark.cases("yarn")
def test_yarn(submission, case):
    """With "yarn", fast pairs stay as they are, slow ones are interpolated, and between them is a ramp.

    Asked: problem rope_scaling, the table of kinds.
    """
    case.check(submission.run_scaled_frequencies(**case.inputs))


@pytest.mark.cases("llama3")
def test_llama3(submission, case):
    """With "llama3", fast pairs stay as they are, slow ones are interpolated, by how often they turn in training.

    Asked: problem rope_scaling, the table of kinds.
    """
    case.check(submission.run_scaled_frequencies(**case.inputs))


@pytest.mark.cases("one")
def test_factor_of_one(submission, case):
    """A factor of 1 leaves the frequencies of plain RoPE, whatever the kind.

    Asked: problem rope_scaling, the table of kinds.
    """
    case.check(submission.run_scaled_frequencies(**case.inputs))


@pytest.mark.cases("rotation")
def test_rotation(submission, case):
    """With a factor of 1, vectors turn as with plain RoPE.

    Asked: problem rope_scaling: ScaledRotaryEmbedding is RoPE with other angles.
    """
    case.check(submission.run_scaled_rope(**case.inputs))


@pytest.mark.cases("scaled")
def test_scaled_rotation(submission, case):
    """Vectors turn by the scaled angles.

    Asked: problem rope_scaling: ScaledRotaryEmbedding is RoPE with other angles.
    """
    case.check(submission.run_scaled_rope(**case.inputs))


@pytest.mark.cases("factor")
def test_attention_factor(submission, case):
    """With "yarn", rotated vectors are 0.1 ln(factor) + 1 times as long.

    Asked: problem rope_scaling, attention_factor.
    """
    case.check(submission.run_scaled_rope(**case.inputs))


@pytest.mark.relation
def test_interpolated_positions(submission):
    """With "linear" and a factor of 4, position 4 i turns as position i does with a factor of 1.

    Asked: problem rope_scaling: that is what position interpolation means.
    """
    draw = Draw(0, "interpolated positions")
    x, positions = draw.normal(2, 4, 6), torch.tensor([1, 3, 2, 7])
    given: dict[str, Any] = {"d_k": 6, "theta": 50.0, "max_seq_len": 64, "kind": "linear", "original_max_seq_len": 16}
    near = submission.run_scaled_rope(**given, factor=1.0, in_query_or_key=x, token_positions=positions)
    far = submission.run_scaled_rope(**given, factor=4.0, in_query_or_key=x, token_positions=4 * positions)
    assert (near - x).abs().max() > 1e-3, "nothing turns"
    compare(near, far, Tolerance(1e-4), "what stands at four times the position")


@pytest.mark.edge
@pytest.mark.cases("settings")
def test_settings(submission, case):
    """The borders between fast and slow pairs are where the settings say.

    Asked: problem rope_scaling, the settings of "yarn" and "llama3".
    """
    case.check(submission.run_scaled_frequencies(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("published")
def test_published_models(submission, case):
    """The frequencies of Llama 3.1 and Qwen 2.5 are theirs, down to the slowest pair.

    Asked: problem rope_scaling, the table of kinds.
    """
    slowest = submission.run_scaled_frequencies(**case.inputs)
    case.check(slowest)
    compare(case.expected[-1:], slowest[-1:], Tolerance(1e-4), "frequency of the last pair")


@pytest.mark.edge
@pytest.mark.cases("positions")
def test_positions(submission, case):
    """Positions may come in any order, and differ by sequence.

    Asked: problem rope, the argument token_positions.
    """
    case.check(submission.run_scaled_rope(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("dtypes")
def test_dtypes(submission, case):
    """The output has the dtype of its input.

    Asked: problem rope_scaling, the shape and dtype of x.
    """
    case.check(submission.run_scaled_rope(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_input_unchanged(submission, case):
    """The input is afterwards what it was.

    Asked: plain safety: inputs belong to the caller.
    """
    case.check(inputs_after(submission, case))


@pytest.mark.edge
def test_impossible_settings(submission):
    """Unknown kinds, factors below 1, an odd d_k, and borders in the wrong order raise ValueError that has them.

    Asked: the documentation of scaled_frequencies.
    """
    given: dict[str, Any] = {"d_k": 8, "theta": 100.0, "kind": "linear", "factor": 2.0, "original_max_seq_len": 64}
    adapter = "run_scaled_frequencies"
    assert submission.run_scaled_frequencies(**given).shape == (4,)
    check_refused(submission, adapter, given | {"kind": "cubic"}, "the kind 'cubic'", "cubic")
    check_refused(submission, adapter, given | {"factor": 0.5}, "a factor of 0.5", 0.5)
    check_refused(submission, adapter, given | {"d_k": 7}, "a d_k of 7", 7)
    check_refused(submission, adapter, given | {"kind": "ntk", "d_k": 2}, "a d_k of 2 with 'ntk'", 2)
    turned = {"kind": "yarn", "beta_fast": 1.5, "beta_slow": 30.0}
    check_refused(submission, adapter, given | turned, "beta_fast of 1.5 below beta_slow of 30", 1.5, 30.0)
    turned = {"kind": "llama3", "low_freq_factor": 5.5, "high_freq_factor": 2.5}
    check_refused(submission, adapter, given | turned, "high_freq_factor of 2.5 below the low one", 2.5, 5.5)
