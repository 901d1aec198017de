"""The toy federation as processes of a real deployment, with folders of their own.

    python toys.py client HOME SEAT      takes part: `proper-client participate` itself
    python toys.py leader FOLDER ROUNDS  leads, as `proper-coordinator run`

Both are what the commands are, but for the people and the parts, which need no torch.
So what happens to a client on SIGTERM is what happens to the one that ships.
"""

import json
import logging
import sys
from pathlib import Path

import toy_federation as toy

from proper_client import device
from proper_client.cli import main
from proper_coordinator.deployment import open_deployment
from proper_coordinator.lead import Leader


def client(home, seat):
    device.site_of = lambda *_: toy.ToySite(int(seat) + 1)  # in place of a history
    main(["participate", "--home", home])


def leader(folder, rounds):
    seen = []

    def parts():
        seen.clear()
        for part in toy.parts(int(rounds)):
            seen.append(part)
            yield part

    def watch(at):
        sys.stdout.write(f"{at.stage} {at.round} {at.outcome.count}\n")
        sys.stdout.flush()

    Leader(open_deployment(Path(folder)), parts, watch).run()
    values = {n: a.tolist() for part in seen for n, a in part.values.items()}
    Path(folder, "values.json").write_text(json.dumps(values))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    {"client": client, "leader": leader}[sys.argv[1]](*sys.argv[2:])
