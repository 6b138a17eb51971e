"""The two banks joined: every clean frame is read, its subjects are tracked, its place is filed; a chunk asks both.

frame i ── reader ──> who is where ──> tracker: subjects move on, those that are seen are corrected
   │                       └─ how static each token is ─┐
   └── tokenizer ──> slice ────────────────────────────> archivist: merged, filed, or left out
"""

from math import prod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from outofsight.errors import InputError
from outofsight.memory.banks import retrieval
from outofsight.memory.banks.archivist import Archivist, Slice, decay_use, note_use
from outofsight.memory.banks.pictures import (
    Picture,
    Pictures,
    empty_cutouts,
    empty_views,
    filed,
    renewed,
    token_parts,
)
from outofsight.memory.banks.scene_reader import SceneReader, frame_of
from outofsight.memory.banks.state import (
    Banks,
    BankSettings,
    RetrievedMemory,
    SceneReading,
    Tracks,
    empty_banks,
)
from outofsight.memory.banks.tracker import FrameSeen, Tracker
from outofsight.memory.selectors import MemoryTokenizer, memory_grid
from outofsight.nn.cameras import Lenses
from outofsight.nn.precision import UncastModule
from outofsight.types import LatentClock, LatentGrid


class Observed(NamedTuple):
    """What was seen on the way, frame by frame, for losses and pictures.

    ``reading``: of the f frames. ``tracks``: after each frame; every tensor has f after the batch. ``assigned``: which
    share of each token went to each slot.
    """

    reading: SceneReading
    tracks: Tracks
    assigned: Float[Tensor, "b f s h w"]


def latent_times(
    context: int, target: int, device: torch.device | None = None
) -> tuple[Float[Tensor, " c"], Float[Tensor, " t"]]:
    """Return the video frame at which each latent frame of a context, and of the target after it, lies.

    ::

        context of 3, target of 2     0 4 8 │ 9 13      the target's first latent frame is one video frame again
    """
    clock = LatentClock(retrieval.LATENT_STEP_FRAMES)
    frames = torch.arange(max(context, target), device=device, dtype=torch.float32) * clock.stride
    return frames[:context], (clock.num_frames(context) if context else 0) + frames[:target]


class TwoBankMemory(UncastModule):
    """The archivist and the tracker, and what they need to see and to be asked.

    ``dim``: width of video tokens. ``channels``: of latents. ``patch``: latent pixels (rows, columns) of a token.
    Weights stay float32 whatever the model around is cast to: places and covariances are computed by them.
    """

    def __init__(self, settings: BankSettings, dim: int, channels: int, patch: tuple[int, int]) -> None:
        super().__init__()
        self.settings, self.dim = settings, dim
        self.reader = SceneReader(channels, settings.reader_width, settings.identity_width, patch)
        self.tracker = Tracker(settings)
        self.tokenizer = MemoryTokenizer(dim, settings.kernel)
        self.archivist = Archivist(dim, settings)
        self.retrieval = retrieval.BankRetrieval(dim, settings)
        self.rebuild = retrieval.Rebuild()
        _begin_as_mean(self.tokenizer.conv)

    @property
    def history(self) -> int:
        """How many latent frames before a new one are needed to read it."""
        return self.reader.history

    def empty(self, batch: int, grid: LatentGrid, device: torch.device | None = None) -> Banks:
        """Return banks that hold nothing, for pictures of this grid. Raises ``InputError`` if a slice has no token."""
        slices = memory_grid(LatentGrid(frames=1, height=grid.height, width=grid.width), self.settings.kernel)
        return empty_banks(self.settings, slices.tokens_per_frame, self.dim, batch, device)

    def read(
        self, latents: Float[Tensor, "b c history_f height width"], frames: int, intrinsics: Lenses
    ) -> SceneReading:
        """Read the last ``frames`` latent frames; those before them help."""
        return SceneReading(*(part[:, -frames:] for part in self.reader(latents.float(), intrinsics)))

    def observe(
        self,
        banks: Banks,
        tokens: Float[Tensor, "b f hw d"],
        latents: Float[Tensor, "b c history_f height width"],
        poses: Float[Tensor, "b f 12"],
        times: Float[Tensor, "b f"],
        intrinsics: Lenses,
        *,
        reading: SceneReading | None = None,
        pictures: Pictures | None = None,
    ) -> tuple[Banks, Observed]:
        """See f new frames, oldest first.

        ``tokens``: of the new frames, of clean latents. ``latents``: the new frames' at the end, after up to
        ``history`` frames that were seen before. ``poses``: in the anchor frame. ``times``: rising, the first after the
        banks' own. ``intrinsics``: of the camera, normalised. ``reading``: what to believe of the new frames, in place
        of the reader's word (masks, or the engine's truth). ``pictures``: of the new frames; then the banks
        keep views and cut-outs too.

        Raises:
            InputError: a picture of another size than the banks were made for, or times that do not rise.
        """
        frames = tokens.shape[1]
        if reading is None:
            reading = self.read(latents, frames, intrinsics)
        grid = LatentGrid(frames=frames, height=reading.dynamic.shape[2], width=reading.dynamic.shape[3])
        slices = self._slices(tokens, reading, poses, times, grid)
        _check_size(banks, slices)
        _check_times(banks.time, times)
        steps: list[tuple[Tracks, Tensor]] = []
        for index, new in enumerate(slices):
            if index > 1 and tokens.is_meta:  # where costs are counted; every frame is like the one before
                steps.append(steps[-1])
                continue
            picture, parts = None, None
            if pictures is not None:
                shown = pictures.frames[:, index], pictures.subject[:, index]
                picture = Picture(*shown, new.pose, new.time, intrinsics, pictures.generated)
                parts = token_parts(picture.subject > 0.5, (grid.height, grid.width)).number.flatten(1)
            seen = FrameSeen(
                tokens[:, index].float(), frame_of(reading, index), new.pose, new.time, intrinsics, parts
            )
            banks, assigned = self._see(banks, seen, new, picture)
            steps.append((banks.tracks, assigned))
        tracked, shares = zip(*steps, strict=True)
        tracks = Tracks(*(torch.stack(part, dim=1) for part in zip(*tracked, strict=True)))
        return banks, Observed(reading, tracks, torch.stack(shares, dim=1))

    def retrieve(
        self,
        banks: Banks,
        poses: Float[Tensor, "b t 12"],
        times: Float[Tensor, "b t"],
        intrinsics: Lenses,
        grid: LatentGrid,
        first_time_index: int,
    ) -> RetrievedMemory:
        """Return what matters for the coming frames. ``poses``: in the anchor frame. ``grid``: of one frame's tokens.
        ``first_time_index``: the first coming latent frame's place in the sequence, for rotation."""
        predicted = self.tracker.predict(banks.tracks, banks.time, times)
        chunk = retrieval.Chunk(poses, times, grid, intrinsics, first_time_index)
        return retrieval.gathered(banks, self.retrieval, predicted, chunk, self.settings)

    def note_use(self, banks: Banks, retrieved: RetrievedMemory) -> Banks:
        """Remember which slots a chunk asked for, so that the useful ones stay: once a chunk, after its retrieval."""
        return banks._replace(archive=note_use(banks.archive, retrieved.scores))

    def _slices(
        self, tokens: Tensor, reading: SceneReading, poses: Tensor, times: Tensor, grid: LatentGrid
    ) -> list[Slice]:
        made = self.tokenizer(tokens.float().flatten(1, 2), grid).float()
        static = 1 - reading.dynamic.float().sigmoid()
        pooled = avg_pool2d(static, self.settings.kernel[1:]).flatten(2)
        return [
            Slice(made[:, index], pooled[:, index], poses[:, index].float(), times[:, index].float())
            for index in range(grid.frames)
        ]

    def _see(
        self, banks: Banks, seen: FrameSeen, new: Slice, picture: Picture | None
    ) -> tuple[Banks, Tensor]:
        """Let both banks see one frame."""
        tracks, births, assigned = self.tracker.update(banks.tracks, banks.births, seen, banks.time)
        archive = decay_use(banks.archive, new.time - banks.time)
        archive = self.archivist.write(archive, new, seen.intrinsics)
        views, cutouts = banks.views, banks.cutouts
        if picture is None:
            return Banks(archive, tracks, new.time, births, views, cutouts), assigned
        if views is None or cutouts is None:
            size = (picture.frame.shape[-2], picture.frame.shape[-1])
            views = empty_views(len(picture.time), self.settings.archive_slots, size, picture.frame.device)
            cutouts = empty_cutouts(len(picture.time), self.settings.subject_slots, picture.frame.device)
        with torch.no_grad():
            views = filed(views, banks.archive, archive, picture)
            cutouts = renewed(cutouts, tracks, assigned, picture)
        return Banks(archive, tracks, new.time, births, views, cutouts), assigned


def _check_size(banks: Banks, slices: list[Slice]) -> None:
    expected, got = banks.archive.tokens.shape, slices[0].tokens.shape
    if (expected[0], *expected[2:]) != tuple(got):
        raise InputError(
            f"these banks hold {expected[0]} × {expected[2]} tokens of width {expected[3]} a slice, the new frames "
            f"give {list(got)}; make empty banks for this picture"
        )


def _check_times(before: Float[Tensor, " b"], times: Float[Tensor, "b f"]) -> None:
    """See that every frame is later than the one before it; on the meta device, where costs are counted, none is."""
    path = torch.cat((before[:, None], times.to(before)), dim=1)
    rises = path.diff(dim=1) > 0
    if rises.is_meta or bool(rises.all()):
        return
    clip, frame = (~rises).nonzero()[0].tolist()
    where = "the banks were at" if frame == 0 else f"frame {frame - 1} is at"
    raise InputError(
        f"expected the times of new frames to rise, clip {clip}: {where} {path[clip, frame].item():g}, frame {frame} "
        f"is at {path[clip, frame + 1].item():g}; show each frame once, oldest first, in video frames"
    )


@torch.no_grad()
def _begin_as_mean(convolution: nn.Conv3d) -> None:
    """Let a slice token begin as the mean of its video tokens."""
    nn.init.dirac_(convolution.weight)
    summed = convolution.weight.sum(dim=(2, 3, 4), keepdim=True)
    convolution.weight.copy_(summed.expand_as(convolution.weight) / prod(convolution.kernel_size))
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
