"""How a server of the rig is tied to the test process that started it.

Standard input is a pipe whose other end that process holds and never writes to. When the process ends, however it ends (SIGKILL
too), the kernel closes the pipe, and the server goes. Linux's PR_SET_PDEATHSIG would not do: it fires when the *thread* that
started the child ends, and pool threads end while the test goes on.

Standard output is a pipe too, for one line: the port, said once the server answers. All else goes to the log.
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
    """From now on this process ends with its parent."""
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


def announce(port: int) -> None:
    """Tell the parent that the server answers on `port`. Once only."""
    os.write(_announcement, f"{port}\n".encode())
    os.close(_announcement)
