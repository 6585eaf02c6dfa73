"""Ships links into nowhere and to endless devices.

Earns: everything
"""

from honest.adapters import *

FILES = {
    "endless": "-> /dev/zero",
    "nowhere": "-> /does/not/exist",
    "itself": "-> itself",
    "up": "-> ..",
    "root": "-> /",
}
