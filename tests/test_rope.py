"""RoPE: neighbouring features are turned, pair by pair, by angles that grow with the position.

Of the tests that state a relation between answers, each looks at one requirement: code with a wrong rotation may still
follow the positions it is given, and the other way round.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grader.cases.case import Draw
from grader.cases.compare import Tolerance, compare
from grader.checks.untouched import check_untouched

MAX_SEQ_LEN = 64
SAME = Tolerance(1e-5)


def test_lengths(submission):
    """A rotation keeps the length of every vector, and position 0 leaves vectors unchanged.

    Asked: problem rope, the rotation matrix.
    """
    x = Draw(0, "rope lengths").normal(2, 30, 8)
    rotated = submission.run_rope(
        d_k=8, theta=100.0, max_seq_len=MAX_SEQ_LEN, in_query_or_key=x, token_positions=torch.arange(30)
    )
    assert rotated.shape == x.shape, f"expected shape {tuple(x.shape)}, got {tuple(rotated.shape)}"
    lengths, expected = rotated.norm(dim=-1), x.norm(dim=-1)
    assert torch.allclose(lengths, expected, rtol=1e-4), (
        f"the length of a vector changes by up to {(lengths - expected).abs().max():.3g}"
    )
    assert torch.allclose(rotated[:, 0], x[:, 0], rtol=1e-5), "the vectors at position 0 change"
    turned = (rotated[:, 1:] - x[:, 1:]).norm(dim=-1) / x[:, 1:].norm(dim=-1)
    assert turned.min() > 1e-3, "some vector at a position above 0 is not turned at all"


@given(
    seed=st.integers(0, 1000),
    query=st.integers(0, MAX_SEQ_LEN // 2 - 1),
    key=st.integers(0, MAX_SEQ_LEN // 2 - 1),
    shift=st.integers(1, MAX_SEQ_LEN // 2),
)
def test_relative_positions(submission, seed, query, key, shift):
    """The product of a rotated query and a rotated key depends only on the distance between their positions.

    Asked: problem rope: all that matters is how tokens are rotated relative to each other.
    """
    q, k = Draw(seed, "rope relative").normal(2, 8, dtype=torch.float32)
    rotated = submission.run_rope(
        d_k=8,
        theta=100.0,
        max_seq_len=MAX_SEQ_LEN,
        in_query_or_key=torch.stack([q, k, q, k]).unsqueeze(0),
        token_positions=torch.tensor([query, key, query + shift, key + shift]),
    )
    assert rotated.shape == (1, 4, 8), f"expected shape (1, 4, 8), got {tuple(rotated.shape)}"
    rotated = rotated[0]
    near, far = (rotated[0] @ rotated[1]).item(), (rotated[2] @ rotated[3]).item()
    scale = (q.norm() * k.norm()).item()
    assert abs(near - far) < 1e-4 * scale, (
        f"positions ({query}, {key}) give a product of {near:.6g}, "
        f"positions ({query + shift}, {key + shift}) one of {far:.6g}"
    )
    moved = (rotated[2] - q).norm() / q.norm()
    assert moved > 1e-3, f"position {query + shift} leaves the vector as it was"


@pytest.mark.decisive  # nothing that leaves vectors as they are, or mixes them otherwise, gets through
def test_pairs_are_neighbours(submission):
    """Features 2k and 2k + 1 form a pair: each affects only the two outputs of its pair.

    Asked: problem rope, the blocks of the rotation matrix.
    """
    d_k, seq_len = 8, 6
    alone = torch.eye(d_k).unsqueeze(1).expand(d_k, seq_len, d_k)  # one feature per sequence
    rotated = submission.run_rope(
        d_k=d_k, theta=10.0, max_seq_len=seq_len, in_query_or_key=alone, token_positions=torch.arange(seq_len)
    )
    assert rotated.shape == alone.shape, f"expected shape {tuple(alone.shape)}, got {tuple(rotated.shape)}"
    pair = torch.arange(d_k) // 2
    own = pair.unsqueeze(1) == pair
    strength = rotated[:, 1:].abs().amax(1)  # [feature that was 1, feature where it shows]
    for feature in range(d_k):
        elsewhere = torch.where(own[feature], 0.0, strength[feature])
        assert elsewhere.max() < 1e-5, (
            f"feature {feature}, alone in a vector, shows in feature {elsewhere.argmax()} after the rotation"
        )
        partner = feature ^ 1
        assert strength[feature, partner] > 1e-3, f"feature {feature} never shows in feature {partner}, its partner"


@pytest.mark.cases("one_pair")
def test_one_pair(submission, case):
    """A vector of two features is rotated counter-clockwise by its position, in radians.

    Asked: problem rope, the 2 x 2 block; with d_k = 2 its angle is the position, whatever theta is.
    """
    case.check(submission.run_rope(**case.inputs))


@pytest.mark.cases
def test_matches_reference(submission, case):
    """RoPE rotates features 2k and 2k + 1 at position i by the angle i / theta^(2k / d_k).

    Asked: problem rope, the rotation matrix and its angles.
    """
    case.check(submission.run_rope(**case.inputs))


@pytest.mark.cases("theta")
def test_theta(submission, case):
    """The base of the wavelengths is the given theta.

    Asked: problem rope, the argument theta.
    """
    case.check(submission.run_rope(**case.inputs))


@pytest.mark.relation
@pytest.mark.cases("positions")
def test_positions(submission, case):
    """Each vector is rotated by its own position: in any order, repeated, or starting above 0.

    Asked: problem rope: the given positions select cosines and sines.
    """
    x, positions, longest = (case.inputs[name] for name in ("in_query_or_key", "token_positions", "max_seq_len"))
    rotated = submission.run_rope(**case.inputs)
    # What the same code makes of each of these vectors at the positions 0, 1, 2, ...
    everywhere = x.reshape(-1, 1, x.shape[-1]).expand(-1, longest, -1).contiguous()
    plain = {**case.inputs, "in_query_or_key": everywhere, "token_positions": torch.arange(longest)}
    at_every_position = submission.run_rope(**plain).unflatten(0, x.shape[:-1])
    spread = (at_every_position[..., 1:, :] - at_every_position[..., :1, :]).abs().amax(-1).min()
    assert spread > 1e-4, "some position above 0 turns a vector no further than position 0 does"
    due = torch.stack([at_every_position[..., i, p, :] for i, p in enumerate(positions.tolist())], dim=-2)
    where = f"output for the positions {positions.tolist()}, beside the same vectors among positions 0, 1, 2, ..."
    compare(due, rotated, SAME, where)


@pytest.mark.relation
@pytest.mark.cases("heads")
def test_shared_positions(submission, case):
    """Positions of shape [seq] apply to all sequences and heads of the input.

    Asked: problem rope: x may have any number of batch dimensions.
    """
    check_like_plain_sequences(submission, case)


@pytest.mark.relation
@pytest.mark.cases("leading_one")
def test_positions_with_leading_one(submission, case):
    """Positions of shape [1, seq] also apply to all sequences and heads of the input.

    Asked: problem rope: positions have the shape [..., seq]; the public tests of attention give them as [1, seq].
    """
    check_like_plain_sequences(submission, case)


def check_like_plain_sequences(submission, case):
    """Compare with what the same code makes of the same vectors as [batch, seq, d_k], with positions of shape [seq]."""
    x, positions = case.inputs["in_query_or_key"], case.inputs["token_positions"]
    rotated = submission.run_rope(**case.inputs)
    flat = {**case.inputs, "in_query_or_key": x.flatten(0, -3), "token_positions": positions.reshape(-1)}
    alone = submission.run_rope(**flat).unflatten(0, x.shape[:-2])
    assert (alone - x).abs().amax((-1, -2)).min() > 1e-3, "some sequence of vectors is not turned at all"
    compare(alone, rotated, SAME, "output, beside what the same vectors give as [batch, seq, d_k] with [seq] positions")


@pytest.mark.edge
@pytest.mark.relation
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the input in memory does not matter.

    Asked: plain safety: heads that were split off by a transposition are laid out so.
    """
    contiguous = {**case.inputs, "in_query_or_key": case.inputs["in_query_or_key"].contiguous()}
    compare(submission.run_rope(**contiguous), submission.run_rope(**case.inputs), SAME, "output, beside a copy's")


@pytest.mark.edge
@pytest.mark.relation
@pytest.mark.cases("rows")
def test_positions_of_each_sequence(submission, case):
    """Positions may differ between sequences and between heads; their leading dimensions broadcast to the input's.

    Asked: problem rope: positions have the shape [..., seq].
    """
    x, positions = case.inputs["in_query_or_key"], case.inputs["token_positions"]
    rotated = submission.run_rope(**case.inputs)
    sequences = zip(x.flatten(0, -3), positions.expand(x.shape[:-1]).flatten(0, -2), strict=True)
    alone = [
        submission.run_rope(**{**case.inputs, "in_query_or_key": one[None], "token_positions": own})[0]
        for one, own in sequences
    ]
    compare(torch.stack(alone).unflatten(0, x.shape[:-2]), rotated, SAME, "output, beside each sequence's alone")


@pytest.mark.edge
@pytest.mark.cases("far")
def test_large_positions(submission, case):
    """Angles are exact to a thousandth for positions in the thousands, and to a hundredth in the ten thousands.

    Asked: problem rope: sequences may be as long as max_seq_len says.
    """
    case.check(submission.run_rope(**case.inputs))


@pytest.mark.advice
@pytest.mark.relation
@pytest.mark.cases("float64")
def test_double_precision(submission, case):
    """float64 vectors give a float64 result."""
    check_like_float32(submission, case)


@pytest.mark.advice
@pytest.mark.relation
@pytest.mark.cases("half")
def test_half_precision(submission, case):
    """float16 and bfloat16 vectors keep their dtype and are rotated by angles computed in float32."""
    check_like_float32(submission, case)


def check_like_float32(submission, case):
    """Compare with what the same code makes of the same values in float32."""
    x = case.inputs["in_query_or_key"]
    rotated = submission.run_rope(**case.inputs)
    in_float32 = submission.run_rope(**{**case.inputs, "in_query_or_key": x.float()})
    compare(in_float32.to(x.dtype), rotated, case.tolerance, "output, beside that for the same values in float32")


@pytest.mark.advice
@pytest.mark.cases("no_batch")
def test_no_batch_dimension(submission, case):
    """The input may be a single sequence, of shape [seq, d_k]."""
    case.check(submission.run_rope(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """RoPE returns a new tensor and modifies neither its input nor the positions.

    Asked: plain safety: inputs belong to the caller.
    """
    check_untouched(submission, case, "in_query_or_key", "token_positions")


@pytest.mark.edge
@pytest.mark.relation
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients reach the input, and match what the code computes.

    Asked: plain safety: queries and keys must be trained through it.
    """
    inputs, cotangent = case.inputs["inputs"], case.inputs["cotangent"]
    gradient = submission.gradients(**case.inputs)["in_query_or_key"]
    # A rotation is linear: the change of sum(output * cotangent) along a direction is its value at that direction.
    for direction in (inputs["in_query_or_key"], cotangent, cotangent.flip(-1), cotangent.roll(1, -2)):
        along = submission.run_rope(**{**inputs, "in_query_or_key": direction})
        due, found = (along * cotangent).sum().item(), (gradient * direction).sum().item()
        assert abs(found - due) <= 1e-4 * (cotangent.norm() * direction.norm()).item(), (
            f"along some direction, sum(output * cotangent) changes by {due:.6g}, and by {found:.6g} after the gradient"
        )
