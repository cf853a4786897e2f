"""What the system refuses: whether the machine is to blame for it, or the work that asked."""

from __future__ import annotations

import errno

_MACHINE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EAGAIN,
        errno.ENOSYS,
    }
)


def is_of_the_machine(error: OSError) -> bool:
    """Whether nothing would go better with another row: no room, no handles, no memory, a disk that fails.

    Such an error stops the run, which can be resumed; it never counts as the failure of an item.
    """
    return error.errno in _MACHINE
