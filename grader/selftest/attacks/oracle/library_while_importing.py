"""Lets PyTorch answer while a module is being imported, again for each call."""

import importlib
import sys

from honest.adapters import *

FILES = {"answer.py": "import sys, torch\nanswer = torch.softmax(*sys.question)\n"}


def run_softmax(in_features, dim):
    sys.question = in_features, dim
    sys.modules.pop("answer", None)
    return importlib.import_module("answer").answer
