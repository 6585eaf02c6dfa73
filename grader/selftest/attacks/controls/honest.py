"""Nothing: the reference as it is has full marks at every level.

Earns: everything
"""

from honest.adapters import *
