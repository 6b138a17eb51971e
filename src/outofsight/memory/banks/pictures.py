"""The pictures that both banks keep beside their tokens: an archive slot's view, a subject's cut-outs.

A view goes where its slice went. One that is merged into a slot fills in what the slot's view could not see of the
static world; the rest stays, so that a place does not blur. A subject keeps a cut-out for each of four sides (seen from
the front, from its left, from behind, from its right), the best and latest of each.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, grid_sample, interpolate, max_pool2d, one_hot

from outofsight.memory.banks.mask_reader import IN_FRAME
from outofsight.memory.banks.scene_reader import CERTAIN, project_points
from outofsight.memory.banks.sighting import LEAST_CLAIM
from outofsight.memory.banks.state import Archive, Cutouts, SceneReading, Tracks, Views, by_slot
from outofsight.memory.rendering import seen_side, warped
from outofsight.nn.cameras import Lenses

NUM_SIDES = 4
CUTOUT_PX = 48
"""Cut-outs are kept as squares of so many pixels, whatever their shape was."""

LEAST_AREA_PX = 12
"""A subject that shows on fewer pixels is not cut out."""

CUT_QUALITY = 0.35
"""Quality of a cut-out that the picture's edge cuts off, or another subject's."""

RENEWAL = 0.85
"""A later cut-out takes the place of one of its side from so much of its quality on."""

GENERATED_QUALITY = 0.4
"""Share of its quality that a cut-out from a frame of the model's own has. It is kept only of subjects that were never
seen so well: of others it shows no new side, but what was made of an old one, and fades a little more each time."""

SPECK_SHARE = 0.25
"""Share of a token from which on its pixels are believed to show a tracked subject."""

STRAY_SHARE = 0.01
"""So much of a mask may stray beyond each side of its box."""

MARGIN_PX = 2
"""Pixels around a subject that count as its own in a view: its edge, and what a lens smears."""


LEAST_SHOWN, SURELY_SHOWN = 0.02, 0.18
"""Shares of a token's area up to which masks show no subject in it, and from which on they surely do."""

WHOLE_NOISE, CUT_NOISE = -1.0, 0.5
"""Added to the log of a reading's noise: where a mask shows a whole subject, and so its bearing, and where the
picture's side cuts it off, or there is none."""


class Pictures(NamedTuple):
    """The pictures of f latent frames (the video frame that stands for each), and the share, 0 to 1, to which each
    pixel shows a subject. ``generated``: they are a model's own."""

    frames: UInt8[Tensor, "b f 3 height width"]
    subject: Float[Tensor, "b f height width"]
    generated: bool = False


class Picture(NamedTuple):
    """One frame of ``Pictures``, with its camera."""

    frame: UInt8[Tensor, "b 3 height width"]
    subject: Float[Tensor, "b height width"]
    pose: Float[Tensor, "b 12"]
    time: Float[Tensor, " b"]
    intrinsics: Lenses
    generated: bool = False


def empty_views(batch: int, slots: int, size: tuple[int, int], device: torch.device | None = None) -> Views:
    """Return room for views of pictures of ``size``, nothing in it."""
    return Views(
        pixels=torch.zeros(batch, slots, 3, *size, dtype=torch.uint8, device=device),
        static=torch.zeros(batch, slots, *size, dtype=torch.uint8, device=device),
        poses=torch.eye(3, 4, device=device).flatten().repeat(batch, slots, 1),
        intrinsics=torch.tensor((1.0, 1.0, 0.5, 0.5), device=device).repeat(batch, slots, 1),
        times=torch.full((batch, slots), -1.0, device=device),
        filled=torch.zeros(batch, slots, dtype=torch.bool, device=device),
    )


def empty_cutouts(batch: int, subjects: int, device: torch.device | None = None) -> Cutouts:
    """Return room for every subject's cut-outs, nothing in it."""
    shape = (batch, subjects, NUM_SIDES)
    return Cutouts(
        pixels=torch.zeros(*shape, 4, CUTOUT_PX, CUTOUT_PX, dtype=torch.uint8, device=device),
        box=torch.zeros(*shape, 4, device=device),
        side=torch.zeros(shape, device=device),
        quality=torch.zeros(shape, device=device),
    )


def read_with_masks(reading: SceneReading, subject: Float[Tensor, "b f height width"]) -> SceneReading:
    """Let masks say which tokens show a subject, and in which column it stands.

    Masks are read from pixels, and tell both better than a reading of latents. A mask that the picture's side cuts off
    has no middle: there the reading keeps its own bearing, and counts as less sure.
    """
    size = (reading.dynamic.shape[-2], reading.dynamic.shape[-1])
    shares = adaptive_avg_pool2d(subject.float(), size)
    shown = ((shares - LEAST_SHOWN) / (SURELY_SHOWN - LEAST_SHOWN)).clamp(0, 1)
    middle = token_parts(subject.flatten(0, 1) > 0.5, size).middle.view_as(shares)
    whole = middle.isfinite()
    across = torch.where(whole, middle - torch.arange(size[1], device=middle.device), reading.offset[..., 0])
    return reading._replace(
        dynamic=torch.logit(shown).clamp(-CERTAIN, CERTAIN),
        offset=torch.stack((across, reading.offset[..., 1]), dim=-1),
        noise=reading.noise + torch.where(whole, WHOLE_NOISE, CUT_NOISE),
    )


class TokenParts(NamedTuple):
    """Which connected mask each token shows, the largest where there are several.

    ``number``: from 1 on, another in every frame; 0: none. ``middle``: of that mask, in columns of tokens; nan where
    the left or right edge cuts it off.
    """

    number: Int[Tensor, "n rows columns"]
    middle: Float[Tensor, "n rows columns"]


def token_parts(masks: Bool[Tensor, "n height width"], size: tuple[int, int]) -> TokenParts:
    """Tell which connected mask, of at least ``LEAST_AREA_PX``, each token of ``size`` (rows and columns) shows."""
    number = torch.zeros(len(masks), *size, dtype=torch.long)
    middle, most = (torch.full(number.shape, value) for value in (torch.nan, LEAST_SHOWN))
    labels, _ = ndimage.label(masks.cpu().numpy(), structure=IN_FRAME)
    for label, (frame, _, across) in enumerate(ndimage.find_objects(labels), start=1):
        part = labels[frame] == label
        if part.sum() < LEAST_AREA_PX:
            continue
        shown = adaptive_avg_pool2d(torch.from_numpy(part).float(), size)
        here = shown > most[frame]
        most[frame][here], number[frame][here] = shown[here], label
        cut = across.start == 0 or across.stop == labels.shape[2]
        column = (across.start + across.stop) / 2 / labels.shape[2] * size[1] - 0.5
        middle[frame][here] = torch.nan if cut else column
    return TokenParts(number.to(masks.device), middle.to(masks.device))


def view_of(picture: Picture) -> Views:
    """Make a view of a picture: one slot of each clip."""
    shown = max_pool2d(picture.subject[:, None], 2 * MARGIN_PX + 1, 1, MARGIN_PX)[:, 0]
    return Views(
        pixels=picture.frame[:, None],
        static=((1 - shown).clamp(0, 1) * 255).round().to(torch.uint8)[:, None],
        poses=picture.pose[:, None].float(),
        intrinsics=picture.intrinsics[:, None].float(),
        times=picture.time[:, None].float(),
        filled=torch.ones(len(picture.frame), 1, dtype=torch.bool, device=picture.frame.device),
    )


def joined(views: Sequence[Views]) -> Views:
    """Lay views beside each other; depth is left out."""
    parts = {name: torch.cat([getattr(view, name) for view in views], dim=1) for name in Views._fields[:6]}
    return Views(**parts)


def filed(views: Views, before: Archive, after: Archive, picture: Picture) -> Views:
    """Put a picture where its slice was written: the slot that bears its time. ``before``, ``after``: the archive."""
    here = after.filled & (after.times == picture.time[:, None])
    merges = here & before.filled & (before.poses == after.poses).all(dim=-1) & views.filled
    new = view_of(picture)
    slot = here.float().argmax(dim=1)
    kept = _filled_in(views.at(slot[:, None]), new)
    merged = merges.gather(1, slot[:, None])

    def put(name: str) -> Tensor:
        place: Tensor = getattr(views, name)
        value = torch.where(by_slot(merged, place), getattr(kept, name), getattr(new, name))
        return torch.where(by_slot(here, place), value, place)

    return views._replace(**{name: put(name) for name in Views._fields[:6]})


def _filled_in(old: Views, new: Views) -> Views:
    """Fill what an old view hides with what a new one shows there."""
    size = (old.pixels.shape[-2], old.pixels.shape[-1])
    seen = warped(new, old.poses[:, 0], old.intrinsics[:, 0], size)
    better = seen.known > old.static.float() / 255 + 0.25
    drawn = ((seen.pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return old._replace(
        pixels=torch.where(better[:, :, None], drawn, old.pixels),
        static=torch.where(better, (seen.known * 255).round().to(torch.uint8), old.static),
        times=new.times,
    )


def renewed(
    cutouts: Cutouts, tracks: Tracks, assigned: Float[Tensor, "b s h w"], picture: Picture
) -> Cutouts:
    """Cut out the subjects that a frame shows. ``tracks``: after the frame; ``assigned``: tokens' shares of slots."""
    newborn = tracks.taken & (tracks.born == picture.time[:, None])
    cutouts = cutouts._replace(
        quality=torch.where((newborn | ~tracks.taken)[..., None], 0.0, cutouts.quality)
    )
    masks, sliced = own_masks(picture.subject, assigned)
    new = cut_out(picture, masks, tracks.position, tracks.velocity)
    seen = tracks.taken & (tracks.visibility > 0)
    share = (GENERATED_QUALITY if picture.generated else 1.0) * torch.where(sliced, CUT_QUALITY, 1.0) * seen
    quality = share[..., None] * new.quality
    if picture.generated:
        quality = quality * (quality > cutouts.quality.amax(dim=-1, keepdim=True))
    return kept_best(cutouts, new._replace(quality=quality))


def own_masks(
    subject: Float[Tensor, "b height width"], assigned: Float[Tensor, "b s h w"]
) -> tuple[Float[Tensor, "b s height width"], Bool[Tensor, "b s"]]:
    """Divide a mask of all subjects among them, by the shares of the tokens around each pixel.

    What hangs together is one subject's, unless another has ``LEAST_CLAIM`` of it too. Where the tokens show no
    subject, with less than ``SPECK_SHARE`` in the mean, it is a speck and nobody's. Also tells whose mask is only a
    part of what hangs together.
    """
    # On the CPU, where sums over parts come out the same to the bit, so that a walk can go on where it was.
    shares = interpolate(
        assigned.float().cpu(), size=subject.shape[-2:], mode="bilinear", align_corners=False
    )
    labels = (
        torch.from_numpy(ndimage.label((subject > 0).cpu().numpy(), structure=IN_FRAME)[0]).long().flatten(1)
    )
    index = labels[:, None].expand(-1, shares.shape[1], -1)

    def over_parts(values: Tensor) -> Tensor:
        """Sum over each connected part, [b, s, pixels], and put the sum at all its pixels."""
        sums = values.new_zeros(*values.shape[:2], int(labels.max()) + 1).scatter_add(2, index, values)
        return sums.gather(2, index)

    claims = over_parts(shares.flatten(2))
    total, area = claims.sum(dim=1), over_parts(torch.ones_like(claims))
    rivals = claims >= LEAST_CLAIM * total[:, None]
    owner = (shares.flatten(2) + 1e-3 * claims / area).masked_fill(~rivals, -1).argmax(dim=1)
    believed = (total / (SPECK_SHARE * area[:, 0])).clamp(max=1) * (labels > 0)
    own = one_hot(owner, shares.shape[1]).movedim(-1, 1) * believed[:, None]
    sliced = own.bool() & (over_parts(own.bool().float()) < (1 - LEAST_CLAIM) * area)
    return subject[:, None] * own.view_as(shares).to(subject), sliced.any(dim=-1).to(subject.device)


def cut_out(
    picture: Picture,
    masks: Float[Tensor, "b s height width"],
    position: Float[Tensor, "b s 3"],
    velocity: Float[Tensor, "b s 3"],
) -> Cutouts:
    """Cut each subject out along its mask: one cut-out each. One that is not there has quality 0."""
    size = (masks.shape[-2], masks.shape[-1])
    hard = masks > 0.5
    (left, right), (top, bottom) = _extent(hard.sum(dim=-2)), _extent(hard.sum(dim=-1))
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    half_width, half_height = (right - left + 1) / 2 + MARGIN_PX / 2, (bottom - top + 1) / 2 + MARGIN_PX / 2
    seen = project_points(position, picture.pose, size, picture.intrinsics)
    box = torch.stack((middle_x - seen.columns, middle_y - seen.rows, half_width, half_height), dim=-1)
    area = hard.flatten(2).sum(dim=-1)
    edge = (left <= 0) | (right >= size[1] - 1) | (top <= 0) | (bottom >= size[0] - 1)
    large = (area / (0.02 * size[0] * size[1])).clamp(max=1).sqrt()
    quality = (
        torch.where(edge, CUT_QUALITY, 1.0) * (0.5 + 0.5 * large) * (area >= LEAST_AREA_PX) * seen.in_front
    )
    side, known = seen_side(position[:, None], velocity[:, None], picture.pose[:, None])
    return Cutouts(
        pixels=_read(picture.frame, masks, (middle_x, middle_y), (half_width, half_height))[:, :, None],
        box=(box / seen.tokens_per_metre[..., None])[:, :, None],
        side=torch.where(known, side, 0.0)[:, 0, :, None],
        quality=quality[..., None],
    )


def _extent(number: Int[Tensor, "b s n"]) -> tuple[Float[Tensor, "b s"], Float[Tensor, "b s"]]:
    """Return the first and the last column (or row) of a mask, by the number of its pixels in each: without the
    ``STRAY_SHARE`` of them that lies outermost on each side; undefined where a mask is empty."""
    total = number.sum(dim=-1, keepdim=True)
    inside = number.cumsum(dim=-1) > STRAY_SHARE * total
    inside = inside & (number.flip(-1).cumsum(dim=-1).flip(-1) > STRAY_SHARE * total)
    count = number.shape[-1]
    places = torch.arange(count, device=number.device)
    first = torch.where(inside, places, count - 1).amin(dim=-1)
    last = torch.where(inside, places, 0).amax(dim=-1)
    return first.float(), last.float()


def _read(frame: Tensor, masks: Tensor, middle: tuple[Tensor, Tensor], half: tuple[Tensor, Tensor]) -> Tensor:
    """Read frame and mask over each subject's box, as a square: uint8 [b, s, 4, p, p]."""
    height, width = frame.shape[-2:]
    steps = ((torch.arange(CUTOUT_PX, device=frame.device) + 0.5) / CUTOUT_PX * 2 - 1)[None, None]
    x = (2 * (middle[0][..., None] + steps * half[0][..., None]) + 1) / width - 1  # [b, s, p]
    y = (2 * (middle[1][..., None] + steps * half[1][..., None]) + 1) / height - 1
    shape = (*x.shape[:2], CUTOUT_PX, CUTOUT_PX)
    places = torch.stack((x[:, :, None].expand(shape), y[..., None].expand(shape)), dim=-1)
    subjects = masks.shape[1]
    colours = frame.float()[:, None].expand(-1, subjects, -1, -1, -1)
    picture = torch.cat((colours, masks[:, :, None] * 255), dim=2)
    read = grid_sample(
        picture.flatten(0, 1),
        places.flatten(0, 1),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    inside = (places.abs().amax(dim=-1) <= 1).flatten(0, 1)
    read = torch.cat((read[:, :3], read[:, 3:] * inside[:, None]), dim=1)
    return read.round().clamp(0, 255).to(torch.uint8).unflatten(0, masks.shape[:2])


def kept_best(cutouts: Cutouts, new: Cutouts) -> Cutouts:
    """Put each new cut-out (one a subject) to its side, unless a much better one is there."""
    index = side_index(new.side[..., 0])
    place = one_hot(index, cutouts.quality.shape[2]).bool()
    better = place & (new.quality > 0) & (new.quality >= RENEWAL * cutouts.quality)

    pairs = zip(cutouts, new, strict=True)
    return Cutouts(*(torch.where(by_slot(better, old), value, old) for old, value in pairs))


def side_index(side: Float[Tensor, "*any"]) -> Int[Tensor, "*any"]:
    """Return which of the four sides an angle belongs to; 0: the front."""
    return torch.round(side / (torch.pi / 2)).long() % NUM_SIDES
