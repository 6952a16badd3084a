"""Ends a server of the rig with the test process that started it.

Standard input is a pipe from that process. When the process ends in any way, the kernel closes the pipe. Linux's
PR_SET_PDEATHSIG would fire when the starting *thread* ends, and pool threads end during a test.

Standard output carries one line, the port, once the server answers. All else goes to the log.
"""

import os
import threading

_announcement = os.dup(1)
os.dup2(2, 1)


def _wait_for_the_end() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


def hold() -> None:
    """Ends this process with its parent from now on."""
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


def announce(port: int) -> None:
    """Reports, once, that the server answers on `port`."""
    os.write(_announcement, f"{port}\n".encode())
    os.close(_announcement)
