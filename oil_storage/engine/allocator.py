"""Settings of glibc's memory allocator for PyTorch on a CPU.

PyTorch frees the maps of each layer and allocates those of the next. By default, glibc returns such large blocks to the
kernel, which must then clear their pages again. In a scene of 2560 px, this took 2.4 of 13 CPU seconds, and 0.7 with
these settings. The runtimes of exported detectors reuse their memory, so nothing changes for them.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of ``mallopt`` in glibc's ``malloc.h``."""


def keep_freed_memory() -> bool:
    """Let this process keep freed memory; return False if the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1) and mallopt(M_MMAP_MAX, 0))
