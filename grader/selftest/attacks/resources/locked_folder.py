"""Leaves a folder without permissions, with files in it.

Earns: everything
"""

import pathlib
import tempfile

from honest.adapters import *

folder = pathlib.Path(tempfile.mkdtemp(), "locked", "inner")
folder.mkdir(parents=True)
folder.joinpath("file").touch(0)
folder.chmod(0)
folder.parent.chmod(0)
