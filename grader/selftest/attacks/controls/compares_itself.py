"""Honest code that compares itself with PyTorch's, in each call and in a module that is imported when it is needed.

Earns: everything
"""

import torch
from honest.adapters import *

FILES = {
    "sitecustomize.py": "import sys\nsys.stdout.reconfigure(encoding='utf-8')\n",
    "layers.py": """
import torch
import torch.nn.functional as F
from honest import adapters as right

def softmax(x, dim):
    return right.run_softmax(x, dim)

x = torch.randn(3, 4)
assert torch.allclose(softmax(x, 0), F.softmax(x, 0))
torch.testing.assert_close(softmax(x, 1), torch.softmax(x, 1))
""",
}


def run_softmax(in_features, dim):
    from layers import softmax

    mine = softmax(in_features, dim)
    theirs = torch.nn.functional.softmax(in_features, dim)
    assert torch.allclose(mine, theirs, atol=2e-2), "softmax is wrong"  # bfloat16 has three digits
    return mine
