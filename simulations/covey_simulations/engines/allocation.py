"""Keeps the memory that a process has freed, for its next arrays.

A round allocates the same megabytes again and again. The C library gives arrays above 128 KiB back to the
system when they are freed and asks for them anew, and the system clears every page: on some rounds that takes
as long as the arithmetic. What stays is bounded by what was in use at once.
"""

import ctypes
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1
_TOP_PAD: Final = -2
_MMAP_THRESHOLD: Final = -3
_KEPT: Final = 1 << 30
_PAD: Final = 1 << 26


def keep_freed_memory() -> bool:
    """Tell glibc's allocator, for the whole process; see mallopt(3).

    Returns:
        Whether there was such an allocator to tell.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    wanted = ((_MMAP_THRESHOLD, _KEPT), (_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, _PAD))
    return bool(sum(mallopt(option, value) for option, value in wanted) == len(wanted))
