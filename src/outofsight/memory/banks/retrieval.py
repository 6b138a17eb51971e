"""Which slots of both banks the coming frames look back to: softmax(q·mᵀ/√d), and the best of them for a chunk.

A query q is made of what a coming frame's camera sees, a memory m of what a slot's camera saw, or of the place where a
subject is predicted to be; both also of contents. All are compared by a **spatial encoding**: a hundred or so places
around the chunk's first camera, in all directions and at three distances, and how near what is seen comes to each.
"""

from math import log, pi
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from outofsight.memory.banks.archivist import static_mean
from outofsight.memory.banks.dynamics import PredictedSubjects
from outofsight.memory.banks.scene_reader import place_subjects
from outofsight.memory.banks.state import Archive, Banks, BankSettings, RetrievedMemory, entries_at
from outofsight.nn.cameras import Lenses, relative_to, view_points
from outofsight.nn.precision import full_precision
from outofsight.nn.rope import rays_through, token_places
from outofsight.types import LatentGrid

DIRECTIONS = 32
RADII_M = (2.0, 6.0, 18.0)
"""The places that a spatial encoding tells nearness to: directions spread evenly over a sphere, times distances."""

DIRECTION_SHARPNESS = 5.0
LOG_RADIUS_SPREAD = 0.6
"""How near counts: exp(5·(cos angle − 1)), half at 30°; a normal curve in the logarithm of distance."""

VIEW_SAMPLES = (4, 4, 6)
"""Depths, rows and columns of points that stand for a view."""

SHARPNESS = 8.0
"""q·m/√d of two equal views, to begin with."""

SUBJECT_GAIN = 1.6
"""A subject is a point, a view is a volume: so much its likeness is raised, to begin with."""

LATENT_STEP_FRAMES = 4
"""Video frames from one latent frame to the next (Wan's factor); the first of a video is one frame alone."""

RAY_SHARPNESS = 30.0
MOMENT_SHARPNESS = 1.0
"""How alike two rays are to begin with: exp(−30·(1 − cos angle) − |moment − moment'|²), metres."""


class Chunk(NamedTuple):
    """The frames that come next.

    ``poses``: row-flattened 3×4 ``anchor_from_camera`` of every coming latent frame; ``times``: in video frames;
    ``grid``: video tokens of one frame; ``intrinsics``: normalised; ``first_time_index``: place of the first coming
    frame in the sequence that the transformer sees, in latent frames.
    """

    poses: Float[Tensor, "b t 12"]
    times: Float[Tensor, "b t"]
    grid: LatentGrid
    intrinsics: Lenses
    first_time_index: int

    def relative(self, poses: Float[Tensor, "b m 12"]) -> Float[Tensor, "b m 12"]:
        """Express cameras of the anchor frame relative to the first coming camera."""
        return relative_to(poses, self.poses[:, 0])


class BankRetrieval(nn.Module):
    """Score both banks' slots for every coming frame, softmax(q·mᵀ/√d). ``dim``: width of the banks' tokens.

    q = P_q·encoding(coming view) + C_q·content of the slot written last; m = P_m·encoding(slot's view or
    predicted place) + C_m·content of the slot. Begins with P_q = P_m a multiple of the identity and C = 0: archive
    slots are ranked by common view, subjects by whether they are predicted in view.
    """

    def __init__(self, dim: int, settings: BankSettings) -> None:
        super().__init__()
        self.settings = settings
        self.width = DIRECTIONS * len(RADII_M)
        self.query_place = nn.Linear(self.width, self.width, bias=False)
        self.memory_place = nn.Linear(self.width, self.width, bias=False)
        self.query_content = nn.Linear(dim, self.width, bias=False)
        self.memory_content = nn.Linear(dim, self.width, bias=False)
        self.subject_content = nn.Linear(dim, self.width, bias=False)
        self.log_subject_gain = nn.Parameter(torch.tensor(log(SUBJECT_GAIN)))
        scale = (SHARPNESS * self.width**0.5) ** 0.5
        for linear in (self.query_place, self.memory_place):
            nn.init.eye_(linear.weight)
            linear.weight.data.mul_(scale)
        for linear in (self.query_content, self.memory_content, self.subject_content):
            nn.init.zeros_(linear.weight)

    def scores(
        self, banks: Banks, positions: Float[Tensor, "b t s 3"], chunk: Chunk
    ) -> Float[Tensor, "b t n_plus_s"]:
        """Return the softmax over archive slots, then subjects; empty slots get 0, and all do where none is filled.

        ``positions``: where each subject is predicted at each coming frame, in the anchor frame, metres.
        """
        filled = filled_slots(banks)
        with full_precision(positions.device):
            query = self._queries(banks, chunk)
            archive = query @ self._places_kept(banks, chunk).transpose(1, 2)
            subjects = (query[:, :, None] * self._subjects_kept(banks, positions, chunk)).sum(dim=-1)
            logits = torch.cat((archive, subjects), dim=-1) / self.width**0.5
        # Far below any other score, so that exp() gives 0 exactly; −∞ would give NaN where no slot is filled.
        masked = logits.masked_fill(~filled[:, None], torch.finfo(logits.dtype).min)
        return masked.softmax(dim=-1) * filled[:, None]

    def _queries(self, banks: Banks, chunk: Chunk) -> Float[Tensor, "b t d"]:
        archive = banks.archive
        newest = archive.times.masked_fill(~archive.filled, -torch.inf).argmax(dim=1)
        content = static_mean(entries_at(archive.tokens, newest), entries_at(archive.static, newest))
        seen = _unit(view_encoding(chunk.relative(chunk.poses), chunk))
        return self.query_place(seen) + self.query_content(content)[:, None]

    def _places_kept(self, banks: Banks, chunk: Chunk) -> Float[Tensor, "b n d"]:
        archive = banks.archive
        seen = _unit(view_encoding(chunk.relative(archive.poses), chunk))
        return self.memory_place(seen) + self.memory_content(static_mean(archive.tokens, archive.static))

    def _subjects_kept(
        self, banks: Banks, positions: Float[Tensor, "b t s 3"], chunk: Chunk
    ) -> Float[Tensor, "b t s d"]:
        points = positions_from_first(positions, chunk)[..., None, :]
        near = _unit(spatial_encoding(points)) * self.log_subject_gain.exp()
        # Summed as the tracker lays tokens out; in another layout the last bit of the sum may be another.
        content = banks.tracks.tokens.transpose(2, 3).contiguous().mean(dim=-1)
        return self.memory_place(near) + self.subject_content(content)[:, None]


def filled_slots(banks: Banks) -> Bool[Tensor, "b n_plus_s"]:
    """Tell which slots hold something: archive slots, then subjects."""
    return torch.cat((banks.archive.filled, banks.tracks.filled), dim=1)


def choose_slots(
    scores: Float[Tensor, "b t n_plus_s"], filled: Bool[Tensor, "b n_plus_s"], top_k: int
) -> tuple[Int[Tensor, "b k"], Bool[Tensor, "b k"]]:
    """Return the ``top_k`` slots of the highest scores summed over the coming frames, and which of them are filled.

    Empty slots come last, and are not to be used. ``k`` is the number of slots where ``top_k`` is more.
    """
    total = scores.detach().sum(dim=1).masked_fill(~filled, -1.0)
    best = total.topk(min(top_k, total.shape[1]), dim=1)
    return best.indices, best.values >= 0


def gathered(
    banks: Banks, retrieval: BankRetrieval, predicted: PredictedSubjects, chunk: Chunk, settings: BankSettings
) -> RetrievedMemory:
    """Fetch what a chunk looks back to: the archivist's tokens, then the tracker's once for every coming frame.

    How many tokens there are depends on settings and grid alone: ``min(top_k, archive_slots)`` slices, then
    ``min(top_k, subject_slots)`` subjects × coming frames × identity tokens. Those of slots that were not chosen, and
    of subjects that are predicted out of a frame's view, are zeros and not ``known``.
    """
    scores = retrieval.scores(banks, predicted.position, chunk)
    chosen, known = choose_slots(scores, filled_slots(banks), settings.top_k)
    n, s = banks.archive.filled.shape[1], banks.tracks.filled.shape[1]
    places = _chosen_of(chosen, known, 0, n, min(settings.top_k, n))
    subjects = _chosen_of(chosen, known, n, s, min(settings.top_k, s))
    parts = (
        _retrieved_places(banks, *places, chunk, settings),
        _retrieved_subjects(banks, *subjects, predicted, chunk, settings),
    )
    joined = {name: torch.cat((parts[0][name], parts[1][name]), dim=1) for name in parts[0]}
    tokens = torch.where(joined["known"][..., None], joined.pop("tokens"), 0.0)
    return RetrievedMemory(tokens=tokens, scores=scores, **joined)


def _chosen_of(
    chosen: Int[Tensor, "b k"], known: Bool[Tensor, "b k"], first: int, count: int, room: int
) -> tuple[Int[Tensor, "b room"], Bool[Tensor, "b room"]]:
    """Return a bank's own slots (from 0) of those chosen, best first, then slots that are not ``known``."""
    own = known & (chosen >= first) & (chosen < first + count)
    order = (~own).int().argsort(dim=1, stable=True)[:, :room]
    own = own.gather(1, order)
    return torch.where(own, chosen.gather(1, order) - first, 0), own


def _retrieved_places(
    banks: Banks,
    slots: Int[Tensor, "b room"],
    known: Bool[Tensor, "b room"],
    chunk: Chunk,
    settings: BankSettings,
) -> dict[str, Tensor]:
    """Lay out the archivist's slots as if they were context frames of their age, seen by their own cameras.

    A slot last written so many video frames ago lies ⌈frames / 4⌉ latent frames before the chunk, as a context frame
    of its age would, and at 0 if that is before the sequence begins.
    """
    archive, (_, down, across) = banks.archive, settings.kernel
    tokens = entries_at(archive.tokens, slots)  # [b, room, p, d]
    rows, columns = token_places(chunk.grid.height // down, chunk.grid.width // across, slots.device)
    rows, columns = (places.expand(*tokens.shape[:2], -1) for places in (rows.flatten(), columns.flatten()))
    ages = ((chunk.times[:, :1] - entries_at(archive.times, slots)) / LATENT_STEP_FRAMES).ceil()
    times = (chunk.first_time_index - ages).clamp(0, max(chunk.first_time_index - 1, 0))
    times = times[..., None].expand_as(rows)
    poses = chunk.relative(entries_at(archive.poses, slots))
    size = (chunk.grid.height, chunk.grid.width)
    middles = rows * down + (down - 1) / 2, columns * across + (across - 1) / 2
    directions, moments = rays_through(*middles, poses, size, chunk.intrinsics[:, None])
    return _flat(
        tokens=tokens,
        known=known[..., None].expand(rows.shape),
        places=torch.stack((times, rows * down, columns * across), dim=-1),
        poses=poses[:, :, None].expand(*rows.shape, -1),
        directions=directions,
        moments=moments,
        subjects=torch.zeros_like(rows, dtype=torch.bool),
        slots=slots[..., None].expand(rows.shape),
        frames=torch.full_like(rows, -1).long(),
    )


def _retrieved_subjects(
    banks: Banks,
    slots: Int[Tensor, "b room"],
    known: Bool[Tensor, "b room"],
    predicted: PredictedSubjects,
    chunk: Chunk,
    settings: BankSettings,
) -> dict[str, Tensor]:
    """Lay out the tracker's slots in every coming frame, where the subjects are predicted to be in its view."""
    num_frames, cameras = chunk.poses.shape[1], chunk.relative(chunk.poses)
    positions = positions_from_first(predicted.position, chunk).transpose(1, 2)
    positions = entries_at(positions, slots).transpose(1, 2)
    boxes = entries_at(banks.tracks.box, slots)[:, None].expand(-1, num_frames, -1, -1)
    size = (chunk.grid.height, chunk.grid.width)
    seen = place_subjects(positions, boxes, cameras, size, chunk.intrinsics[:, None], settings.subject_grid)
    rows, columns = seen.rows.float(), seen.columns.float()  # [b, t, room, k]
    frames = torch.arange(num_frames, device=slots.device)[:, None, None].expand(rows.shape)
    times = (chunk.first_time_index + frames).to(rows.dtype)
    return _flat(
        tokens=entries_at(banks.tracks.tokens, slots)[:, None].expand(-1, num_frames, -1, -1, -1),
        known=(known[:, None] & seen.in_view)[..., None].expand(rows.shape),
        places=torch.stack((times, rows, columns), dim=-1),
        poses=cameras[:, :, None, None].expand(*rows.shape, -1),
        directions=seen.directions,
        moments=seen.moments,
        subjects=torch.ones_like(rows, dtype=torch.bool),
        slots=(slots + banks.archive.filled.shape[1])[:, None, :, None].expand(rows.shape),
        frames=frames,
    )


def _flat(**fields: Tensor) -> dict[str, Tensor]:
    """Lay out the tokens of several slots, of the shape of ``known``, in one row for each clip."""
    ends = fields["known"].ndim - 1
    return {name: value.flatten(1, ends) for name, value in fields.items()}


class Rebuild(nn.Module):
    """Rebuild the static world of coming views from the archivist's retrieved tokens, by where they look.

    Attention with softmax(−a·(1 − d·d') − c·|m − m'|² + ln score + ln static) over retrieved tokens, d and m the rays'
    directions and moments; a and c are learned. It has no weights for contents: what it yields is what is held, so a
    loss on it teaches what to hold (merges, gate) and what to fetch (scores).
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_ray_sharpness = nn.Parameter(torch.tensor(log(RAY_SHARPNESS)))
        self.log_moment_sharpness = nn.Parameter(torch.tensor(log(MOMENT_SHARPNESS)))

    def forward(
        self,
        archive: Archive,
        retrieved: RetrievedMemory,
        directions: Float[Tensor, "b t p 3"],
        moments: Float[Tensor, "b t p 3"],
    ) -> Float[Tensor, "b t p d"]:
        """Return slice tokens seen along p rays of each coming frame; zeros where nothing is retrieved.

        ``directions``, ``moments``: in the frame of the chunk's first camera, as in ``RetrievedMemory``.
        """
        with full_precision(directions.device):
            usable = retrieved.known & ~retrieved.subjects
            frames = torch.arange(directions.shape[1], device=directions.device)
            slots = retrieved.slots[:, None].expand(-1, len(frames), -1)
            score = retrieved.scores.gather(2, slots).clamp(min=1e-6)  # [b, t, e]
            logits = self._nearness(retrieved, directions, moments)
            logits = logits + score.log()[:, :, None] + _static_of(archive, retrieved).log()[:, None, None]
            logits = logits.masked_fill(~usable[:, None, None], torch.finfo(logits.dtype).min)
            weights = logits.softmax(dim=-1) * usable[:, None, None]
            return torch.einsum("btpe,bed->btpd", weights, retrieved.tokens)

    def covered(
        self,
        archive: Archive,
        retrieved: RetrievedMemory,
        directions: Float[Tensor, "b t p 3"],
        moments: Float[Tensor, "b t p 3"],
    ) -> Float[Tensor, "b t p"]:
        """Tell how near, 0 to 1, the nearest static retrieved token looks to each ray: whether it is a revisit."""
        with torch.no_grad(), full_precision(directions.device):
            usable = (retrieved.known & ~retrieved.subjects) * _static_of(archive, retrieved)
            return (self._nearness(retrieved, directions, moments).exp() * usable[:, None, None]).amax(dim=-1)

    def _nearness(
        self, retrieved: RetrievedMemory, directions: Tensor, moments: Tensor
    ) -> Float[Tensor, "b t p e"]:
        """Return the logarithm of how alike rays are, at most 0."""
        cosine = torch.einsum("btpi,bei->btpe", directions.float(), retrieved.directions.float())
        apart = torch.cdist(moments.float().flatten(1, 2), retrieved.moments.float()) ** 2
        apart = apart.unflatten(1, moments.shape[1:3])
        return -self.log_ray_sharpness.exp() * (1 - cosine) - self.log_moment_sharpness.exp() * apart


def _static_of(archive: Archive, retrieved: RetrievedMemory) -> Float[Tensor, "b e"]:
    """Return how static each retrieved token of the archivist is, a little above 0; meaningless for subjects'."""
    num_slots, per_slice = archive.static.shape[1:]
    row = torch.arange(len(retrieved.slots), device=retrieved.slots.device)[:, None]
    token = torch.arange(retrieved.slots.shape[1], device=retrieved.slots.device) % per_slice
    return archive.static[row, retrieved.slots.clamp(max=num_slots - 1), token].clamp(min=1e-6)


def positions_from_first(positions: Float[Tensor, "b t s 3"], chunk: Chunk) -> Float[Tensor, "b t s 3"]:
    """Express points of the anchor frame in the frame of the chunk's first camera."""
    first = chunk.poses[:, :1].float().unflatten(-1, (3, 4))[:, :, None]  # [b, 1, 1, 3, 4]
    return (first[..., :3] * (positions.float() - first[..., 3])[..., :, None]).sum(dim=-2)


def view_encoding(poses: Float[Tensor, "b m 12"], chunk: Chunk) -> Float[Tensor, "b m places"]:
    """Encode what cameras see; poses relative to the chunk's first camera."""
    local = view_points(chunk.intrinsics, VIEW_SAMPLES)[:, None]  # [b, 1, q, 3]
    cameras = poses.float().unflatten(-1, (3, 4))[:, :, None]
    return spatial_encoding((cameras[..., :3] * local[..., None, :]).sum(dim=-1) + cameras[..., 3])


def spatial_encoding(points: Float[Tensor, "*batch q 3"]) -> Float[Tensor, "*batch places"]:
    """Tell how near points (metres from the chunk's first camera) come, on average, to each of the places around.

    Nearness to the place in direction u_i at distance r_j: ``exp(5·(p̂·u_i − 1)) · exp(−(ln|p| − ln r_j)² / (2·0.6²))``.
    """
    distance = points.norm(dim=-1, keepdim=True).clamp(min=0.1)
    towards = _directions(points.device)
    cosines = ((points / distance)[..., None, :] * towards).sum(dim=-1)
    radii = torch.tensor(RADII_M, device=points.device).log()
    by_radius = (-((distance.log() - radii) ** 2) / (2 * LOG_RADIUS_SPREAD**2)).exp()
    by_direction = (DIRECTION_SHARPNESS * (cosines - 1)).exp()
    near = (by_direction[..., :, None] * by_radius[..., None, :]).mean(dim=-3)
    return near.flatten(-2)


def _directions(device: torch.device) -> Float[Tensor, "directions 3"]:
    """Spread unit vectors evenly over a sphere, on a spiral.

    Source: the Fibonacci lattice, Swinbank and Purser (2006).
    """
    index = torch.arange(DIRECTIONS, device=device) + 0.5
    height = 1 - 2 * index / DIRECTIONS
    around = index * (pi * (3 - 5**0.5))
    width = (1 - height**2).sqrt()
    return torch.stack((width * around.cos(), height, width * around.sin()), dim=-1)


def _unit(values: Tensor) -> Tensor:
    return values / values.norm(dim=-1, keepdim=True).clamp(min=1e-6)
