"""A feature network that remembers what it has seen: many measures, and many contenders, ask about the same frames."""

import hashlib
from collections import OrderedDict

from outofsight.evaluation.case import Video
from outofsight.evaluation.evidence import Networks
from outofsight.evaluation.observations import FeatureNetwork, Features
from outofsight.perception.centre_crop import CentreCrop, centre_crop_of

MOST_VIDEOS = 8


class RememberedFeatures:
    """Answer from memory for the videos seen last; what they are is told by a digest of their pixels."""

    def __init__(self, network: FeatureNetwork, most_videos: int = MOST_VIDEOS) -> None:
        self.network, self.most_videos = network, most_videos
        self._known: OrderedDict[str, Features] = OrderedDict()

    @property
    def centre_crop(self) -> CentreCrop:
        return centre_crop_of(self.network)

    def features(self, frames: Video) -> Features:
        digest = hashlib.sha256(frames.tobytes() + repr(frames.shape).encode()).hexdigest()
        if digest not in self._known:
            self._known[digest] = self.network.features(frames)
        self._known.move_to_end(digest)
        while len(self._known) > self.most_videos:
            self._known.popitem(last=False)
        return self._known[digest]


def remembering(networks: Networks) -> Networks:
    """Let every feature network remember; one that serves several uses has one memory for all."""
    memories: dict[int, FeatureNetwork] = {}

    def remembered(network: FeatureNetwork | None) -> FeatureNetwork | None:
        if network is None or isinstance(network, RememberedFeatures):
            return network
        return memories.setdefault(id(network), RememberedFeatures(network))

    return Networks(
        appearance=remembered(networks.appearance),
        subjects=remembered(networks.subjects),
        backgrounds=remembered(networks.backgrounds),
        perceptual=networks.perceptual,
    )
