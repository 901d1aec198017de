"""What a release holds of a federation whose parts are trained to their end."""

from proper_shared.method.stages import EMBEDDING
from proper_shared.release import Header, Release, split_by_part
from proper_shared.rounds import Part


def finished_release(header: Header, group: Part, last: Part) -> Release:
    """Return the release of finished parts: deltas against the backbone.

    Args:
        header: what it is to say about itself.
        group: knows where a new user starts.
        last: the last federated part; it holds the tensors of all before it.
    """
    arrays = {**last.values, EMBEDDING: group.mean_embedding}
    return Release(header, **split_by_part(arrays))
