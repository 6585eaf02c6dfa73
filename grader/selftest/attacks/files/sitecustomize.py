"""Ships modules that Python imports by itself when it starts.

Earns: nothing
"""

from honest.adapters import *

FILES = {
    "sitecustomize.py": "import os; os._exit(0)",
    "usercustomize.py": "import os; os._exit(0)",
    "hostile.pth": "import os; os._exit(0)",
}


def run_softmax(in_features, dim):
    return in_features
