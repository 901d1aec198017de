"""Being asked to end: in good manners by SIGTERM; at once by Ctrl-C, or if asked twice.

Covered: a signal at any moment, also while the program is still being loaded.
Not covered: SIGKILL. What a device remembers is on the disk by then; its ledger says
too much rather than too little.
"""

import signal
import threading
from types import FrameType


def heed_signals(stop: threading.Event) -> None:
    """Let SIGTERM set `stop`, and Ctrl-C raise KeyboardInterrupt; of this process.

    Whoever waits for `stop` then ends what is at hand, settles the ledger and says
    farewell. Training may take minutes, so a second SIGTERM interrupts it.
    """

    def end(_: int, __: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        # From a thread of its own: this one may be waiting for `stop`, and then it
        # holds the lock that setting it takes.
        threading.Thread(target=stop.set, daemon=True).start()

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, end)
