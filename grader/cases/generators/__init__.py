"""One generator per problem: `generate(draw)` yields that problem's cases with inputs from the drawing's seed.

Imports `cases`, and `submission` and `reference` where an answer needs them. Start reading at `softmax.py`. Staff only:
with these and the reference, a grade uses inputs that nobody has seen before.
"""

import torch

IN_DTYPES = (("float64", torch.float64, 2e-5), ("float16", torch.float16, 3e-3), ("bfloat16", torch.bfloat16, 2e-2))
"""Name, type and relative tolerance of the cases with which a layer is tried in another type than float32.

In float64, too, no more than float32's precision is asked for: what is judged is that the type is kept.
"""
