"""What the supervisor starts: Flower's SuperLink or the door, tied to their parent.

    python -m proper_coordinator.child superlink <options of flower-superlink>
    python -m proper_coordinator.child door <folder of the deployment>

Covered: a supervisor that is killed takes both with it, so that the next one finds its
ports free.
"""

import os
import sys
import threading
import time
from pathlib import Path

LOOK_S = 0.5


def end_with(parent: int) -> None:
    """End this process as soon as its parent is another one."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)


def main() -> None:
    """Become what the first argument says."""
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    what, *rest = sys.argv[1:]
    if what == "door":
        from proper_coordinator.deployment import open_deployment  # noqa: PLC0415
        from proper_coordinator.door import serve  # noqa: PLC0415

        serve(open_deployment(Path(rest[0])))
        return
    from flwr.superlink.cli import flower_superlink  # noqa: PLC0415

    sys.argv = ["flower-superlink", *rest]
    flower_superlink()


if __name__ == "__main__":
    main()
