"""The device's own backbone, against which a release from elsewhere is judged.

Covered: which tensors fit it, how large its weights are, what public texts cost it.
Not covered: nothing of a release is believed here but its shapes and its seed.
"""

from collections.abc import Sequence
from functools import cached_property

from proper_client.opening import expected_of
from proper_shared.backbone import load_backbone
from proper_shared.canary import Canary
from proper_shared.encoding import Encoder
from proper_shared.history import User
from proper_shared.method.stages import AdaptedModel
from proper_shared.packing import Shapes
from proper_shared.release import Manifest
from proper_shared.tasks import get_task
from proper_shared.tensors import Arrays


class Ground:
    """A backbone as a release with this manifest would be laid over it.

    Args:
        backbone: `nano`, or a folder or hub id that the person named.
        manifest: of the release.
        people: whose texts are the canary; none if there are no texts.
    """

    def __init__(
        self, backbone: str, manifest: Manifest, people: Sequence[User]
    ) -> None:
        self._loaded = load_backbone(backbone)
        self.fingerprint = self._loaded.fingerprint
        self._manifest, self._people = manifest, people
        self._adapted = AdaptedModel(self._loaded.model, manifest.method, manifest.seed)

    @cached_property
    def expected(self) -> dict[str, Shapes]:
        """Exactly the tensors that each part holds."""
        return expected_of(self._adapted)

    @cached_property
    def sizes(self) -> dict[str, float]:
        """The Frobenius norm of each layer's own weights."""
        return {
            path: float(layer.base.weight.norm())  # type: ignore[operator]
            for path, layer in self._adapted.layers.items()
        }

    def canary(self, values: Arrays) -> tuple[float, float] | None:
        """Return what the texts cost under a release and without, nats a token.

        None where there are no texts.
        """
        if not self._people:
            return None
        for part in ("population", "group"):
            self._adapted.add(part)
        encoder = Encoder(self._loaded.tokenizer, get_task(self._manifest.task))
        judge = Canary(self._adapted, encoder, self._people)
        bare = judge.bare()
        experts = self._manifest.method.experts
        return judge.loss(values, "group", experts), bare
