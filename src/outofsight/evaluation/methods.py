"""Who is judged: models, the videos of other systems, and the baselines and upper bounds that frame them."""

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from outofsight.codec.video_vae import LatentTiling
from outofsight.data.video import read_video
from outofsight.errors import InputError, VideoError
from outofsight.evaluation.baselines import (
    camera_warped,
    frozen,
    nearest_view,
    rendered_view,
    swapped,
    vanished,
)
from outofsight.evaluation.case import ClipCase, Video, case_from_clip, check_generated
from outofsight.evaluation.clips import EvalClip, Sample, videos_of
from outofsight.evaluation.rollouts import Answer, asked_masks, predicted_tracks, roll_clip
from outofsight.model_folders import ModelSource
from outofsight.sampling.continuation import SamplingSettings, rendered_memory
from outofsight.sampling.inputs import to_uint8
from outofsight.sampling.world import WorldModel

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".json", ".model", ".txt")


LoadWorld = Callable[[ModelSource], WorldModel]


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """Gives an answer for every clip.

    ``kind``: model, videos, baseline or upper bound. ``is_kept``: its videos are written down, since they are dear.
    ``source``: the model that it runs on; ``None``: it needs none.
    """

    kind: ClassVar[str]
    is_kept: ClassVar[bool] = False
    name: str
    source: ModelSource | None = None

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """All that decides the answers, as JSON can hold it."""

    def reads(self, clip: EvalClip) -> str:
        """Digest what the answer is made of beside the clip itself, such as a file; else an empty text."""
        return ""

    @abstractmethod
    def answer(self, clip: EvalClip, sample: Sample, world: WorldModel | None) -> Answer:
        """Answer one clip. Raises ``InputError`` with the reason where it cannot; the row is marked with it."""


@dataclass(frozen=True, kw_only=True)
class _ByModel(Method):
    """A method that runs on a model. ``digest``: of its files, so that other weights are another method."""

    is_kept = True
    source: ModelSource = field()  # required, unlike the base's
    digest: str

    @property
    def tiling(self) -> LatentTiling | None:
        return LatentTiling() if self.source.tile_vae else None


@dataclass(frozen=True, kw_only=True)
class ModelMethod(_ByModel):
    """A model that continues the context.

    ``roll``: by a rollout, so many latent frames a step; ``None``: the whole target at once.
    """

    kind = "model"
    sampling: SamplingSettings
    record_retrieval: bool = True
    roll: int | None = None

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "model": self.source.path,
            "digest": self.digest,
            "strategy": self.source.strategy,
            "sampling": asdict(self.sampling),
            "dtype": self.source.dtype,
            "tile_vae": self.source.tile_vae,
            **({} if self.source.quantize == "none" else {"quantize": self.source.quantize}),
            **({} if self.roll is None else {"roll": self.roll}),
        }

    def answer(self, clip: EvalClip, sample: Sample, world: WorldModel | None) -> Answer:
        assert world is not None
        case, settings = sample.case, sampling_of(self.sampling, clip.name)
        if self.roll is not None:
            return roll_clip(world, sample, settings, self.roll, self.tiling)
        cameras, ahead, caption = sample.asked_of_models()
        made = world.continue_video(
            case.context, cameras, ahead, caption, settings, subject_masks=asked_masks(world, sample),
            tiling=self.tiling, record_retrieval=self.record_retrieval, on_progress=lambda stage, done, total: None,
        )  # fmt: skip
        tracked = predicted_tracks(world, case, self.tiling)
        return Answer(video=made.video, seconds=made.seconds, retrieval=made.retrieval, tracked=tracked)


@dataclass(frozen=True, kw_only=True)
class RenderedMethod(_ByModel):
    """What a model's memory renders of the target, without the model's own hand: as its banks make it."""

    kind = "baseline"
    seed: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "rendered_by": self.source.path,
            "digest": self.digest,
            "strategy": self.source.strategy,
            "dtype": self.source.dtype,
            "seed": self.seed,
        }

    def answer(self, clip: EvalClip, sample: Sample, world: WorldModel | None) -> Answer:
        assert world is not None
        case = sample.case
        if case.cameras is None:
            raise InputError("rendering memory needs the clip's cameras, and there are none")
        split, seed = case.num_context_frames, sampling_of(SamplingSettings(seed=self.seed), clip.name).seed
        start = time.perf_counter()
        video = rendered_memory(
            world, case.context, case.cameras[:split], case.cameras[split:], seed, tiling=self.tiling
        )
        return Answer(video=video, seconds={"render": time.perf_counter() - start})


@dataclass(frozen=True, kw_only=True)
class RoundTripMethod(_ByModel):
    """The truth through a model's VAE and back: what the model could reach if it predicted every latent."""

    kind = "upper bound"

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "vae_of": self.source.path,
            "digest": self.digest,
            "dtype": self.source.dtype,
            "tile_vae": self.source.tile_vae,
        }

    def answer(self, clip: EvalClip, sample: Sample, world: WorldModel | None) -> Answer:
        assert world is not None
        truth = torch.from_numpy(sample.case.truth).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
        start = time.perf_counter()
        latents = world.encode_video(truth, self.tiling)
        encoded = time.perf_counter()
        video = to_uint8(world.decode_latents(latents, self.tiling)[0])
        seconds = {"encode": encoded - start, "decode": time.perf_counter() - encoded}
        return Answer(video=video, seconds=seconds)


@dataclass(frozen=True, kw_only=True)
class TruthMethod(Method):
    """The truth against itself: the most that any metric can give."""

    kind = "upper bound"
    name: str = "truth"

    @property
    def settings(self) -> dict[str, Any]:
        return {"kind": self.kind}

    def answer(self, clip: EvalClip, sample: Sample, world: WorldModel | None) -> Answer:
        return Answer(video=sample.case.truth)


@dataclass(frozen=True, kw_only=True)
class BaselineMethod(Method):
    """An answer that lacks one thing, by its name in ``BASELINES``."""

    kind = "baseline"

    @property
    def settings(self) -> dict[str, Any]:
        return {"kind": self.kind, "baseline": self.name}

    def reads(self, clip: EvalClip) -> str:
        return " ".join(str(entry.folder) for entry in clip.donors) if self.name == "swapped" else ""

    def answer(self, clip: EvalClip, sample: Sample, world: WorldModel | None) -> Answer:
        return Answer(video=BASELINES[self.name](sample.case, clip))


@dataclass(frozen=True, kw_only=True)
class VideosMethod(Method):
    """Another system's videos: ``folder`` holds one for each clip, by the clip's name.

    ``with_context``: they begin with the context's frames, as the published script writes them.
    """

    kind = "videos"
    folder: Path
    with_context: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        return {"kind": self.kind, "folder": str(self.folder), "with_context": self.with_context}

    def reads(self, clip: EvalClip) -> str:
        path = videos_of(self.folder).get(clip.name)
        return "" if path is None else hashlib.sha256(path.read_bytes()).hexdigest()[:16]

    def answer(self, clip: EvalClip, sample: Sample, world: WorldModel | None) -> Answer:
        path, case = videos_of(self.folder).get(clip.name), sample.case
        if path is None:
            raise VideoError(f"no video of clip {clip.name} in {self.folder}")
        frames = read_video(path).frames
        if self.with_context:
            if len(frames) != case.num_frames:
                raise VideoError(
                    f"{path}: expected {case.num_context_frames} context and {case.num_target_frames} target frames, "
                    f"got {len(frames)} frames"
                )
            frames = frames[case.num_context_frames :]
        elif len(frames) == case.num_frames:
            raise VideoError(
                f"{path}: has {len(frames)} frames, as context and target together; if it begins with the context, "
                "say --with-context"
            )
        check_generated(case, frames)
        return Answer(video=frames)


def swapped_by_donor(case: ClipCase, clip: EvalClip) -> Video:
    """Put another clip's subject in the place of every subject: that of the first donor who is seen well enough.

    Raises:
        InputError: there is no other clip with another kind of subject, or none whose subject is seen whole and large.
    """
    reason = "there is no other clip with another kind of subject"
    for entry in clip.donors:
        try:
            return swapped(case, case_from_clip(entry.read()))
        except InputError as error:
            reason = str(error)
    raise InputError(reason)


BASELINES: dict[str, Callable[[ClipCase, EvalClip], Video]] = {
    "frozen": lambda case, clip: frozen(case),
    "camera_warped": lambda case, clip: camera_warped(case),
    "nearest_view": lambda case, clip: nearest_view(case),
    "rendered_view": lambda case, clip: rendered_view(case),
    "vanished": lambda case, clip: vanished(case),
    "swapped": swapped_by_donor,
}
"""The baselines, in the order in which reports show them."""


def usable_baselines(case: ClipCase, *, has_context: bool) -> list[str]:
    """Name the baselines that can be made of clips like this one."""
    has_lens = case.cameras is not None and case.cameras.intrinsics is not None
    usable = {
        "frozen": has_context,
        "camera_warped": has_context and has_lens,
        "nearest_view": has_context and case.cameras is not None,
        "rendered_view": has_context and has_lens and case.foreground is not None,
        "vanished": case.foreground is not None,
        "swapped": case.subject_masks is not None,
    }
    return [name for name in BASELINES if usable[name]]


def sampling_of(settings: SamplingSettings, clip_name: str) -> SamplingSettings:
    """Give every clip a starting noise of its own, by its name, whatever is run before or beside it."""
    drawn = hashlib.sha256(f"{settings.seed}:{clip_name}".encode()).digest()
    return replace(settings, seed=int.from_bytes(drawn[:6], "big"))


def files_digest(folder: Path) -> str:
    """Digest the files of a model folder, weights included: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in WEIGHT_SUFFIXES):
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size}".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()[:16]


def check_names(methods: Sequence[Method]) -> None:
    """Raise ``InputError`` unless every method has a name of its own that can name a folder."""
    seen: set[str] = set()
    for method in methods:
        if method.name in seen:
            raise InputError(f"two methods are called {method.name!r}; name them apart by NAME=...")
        if not method.name or method.name[0] == "." or set(method.name) & set('/\\:*?"<>|'):
            raise InputError(f"{method.name!r} cannot name a method: it must do as a folder's name")
        seen.add(method.name)
