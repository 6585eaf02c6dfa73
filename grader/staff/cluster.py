"""A batch on many machines: pieces of work go to a Dask cluster, through the same interface as to threads.

Dask's workers may not have children of their own kind, but may start programs, which a unit is. A piece of work whose
worker dies is given to another one; the lock of its submission, and the state that the first one left, keep it from
being done twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor

from ..errors import Refused

GPU = "GPU"
"""The resource that workers with a GPU declare; races are held only there."""
_PATIENCE_S = 20


@contextlib.contextmanager
def connected(address: str, gpu: bool = False) -> Iterator[tuple[Executor, int]]:
    """(what work is given to, how many pieces are done at a time) of the cluster at this address.

    Args:
        gpu: whether each piece of work needs a worker with the resource `GPU`.

    Raises:
        Refused: Dask is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise Refused("--scheduler needs the package distributed: pip install 'distributed>=2024.5'.") from error
    try:
        client = Client(address, timeout=_PATIENCE_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise Refused(f"--scheduler {address}: no Dask scheduler answers there ({type(error).__name__}).") from error
    executor = client.get_executor(pure=False, **({"resources": {GPU: 1}} if gpu else {}))
    try:
        yield executor, sum(client.nthreads().values())
    finally:
        executor.shutdown(wait=False)  # which cancels what has not begun
        client.close()
