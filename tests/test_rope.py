"""RoPE: neighbouring features are turned, pair by pair, by angles that grow with the position."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grader.cases.case import Draw

MAX_SEQ_LEN = 64


def test_lengths(submission):
    """A rotation keeps the length of every pair of features, and position 0 leaves vectors as they are."""
    x = Draw(0, "rope lengths").normal(2, 30, 8)
    rotated = submission.run_rope(
        d_k=8, theta=100.0, max_seq_len=MAX_SEQ_LEN, in_query_or_key=x, token_positions=torch.arange(30)
    )
    assert rotated.shape == x.shape, f"expected shape {tuple(x.shape)}, got {tuple(rotated.shape)}"
    lengths, expected = (v.unflatten(-1, (-1, 2)).norm(dim=-1) for v in (rotated, x))
    assert torch.allclose(lengths, expected, rtol=1e-4), (
        f"the length of a pair of features changes by up to {(lengths - expected).abs().max():.3g}"
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
    """The product of a rotated query and a rotated key depends on the distance between their positions only."""
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


@pytest.mark.cases
def test_matches_reference(submission, case):
    """RoPE turns the features 2k and 2k + 1 at position i by the angle i / theta^(2k / d_k)."""
    case.check(submission.run_rope(**case.inputs))


@pytest.mark.cases("theta")
def test_theta(submission, case):
    """The base of the wavelengths is the given theta."""
    case.check(submission.run_rope(**case.inputs))


@pytest.mark.cases("positions")
def test_positions(submission, case):
    """Each vector is turned by its own position: in any order, repeated, or starting above 0."""
    case.check(submission.run_rope(**case.inputs))


@pytest.mark.cases("heads")
def test_shared_positions(submission, case):
    """Positions of shape [seq] or [1, seq] serve all sequences and heads of the input."""
    case.check(submission.run_rope(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the input in memory does not matter."""
    case.check(submission.run_rope(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("rows")
def test_positions_of_each_sequence(submission, case):
    """Positions may differ between sequences and between heads; their leading dimensions broadcast to the input's."""
    case.check(submission.run_rope(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("far")
def test_large_positions(submission, case):
    """Angles of positions in the thousands are still exact to a thousandth."""
    case.check(submission.run_rope(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("half")
def test_half_precision(submission, case):
    """float16 and bfloat16 vectors come back in their own dtype."""
    case.check(submission.run_rope(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """RoPE returns a new tensor and leaves its input and the positions as they were."""
    case.check(submission.inputs_after(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients are turned back by the same angles."""
    case.check(submission.gradients(**case.inputs))
