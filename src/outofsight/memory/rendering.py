"""Rendered memory: what is remembered, drawn as the coming cameras will see it.

::

    views     (pixels, static share, pose, lens, depth)  ─ turned or reprojected, blended ───────────────┐
    cut-outs  (subjects' pixels from several sides)  ───── put where the tracker has them, nearest first ─┴─> picture,
                                                                       coverage (0: a hole), subjects' share

Pure functions of memory and cameras, batched, on any device. Poses are row-flattened 3×4 ``reference_from_camera`` of
one reference for all (OpenCV axes, metres); intrinsics are normalised (``nn.cameras``). Pixels are uint8 where they
are kept, and in [−1, 1] where they are drawn; a hole has coverage 0, and softly the colours beside it.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate

from outofsight.memory.banks.dynamics import PredictedSubjects
from outofsight.memory.banks.scene_reader import project_points
from outofsight.memory.banks.state import Cutouts, Views
from outofsight.nn.cameras import Lenses
from outofsight.nn.rope import token_places

VIEWS_A_FRAME = 8
"""So many views, those that look most nearly the same way, are drawn into a frame."""

ANGLE_SCALE_DEG, MOVE_SCALE_M = 2.0, 0.5
"""A view's weight falls e times with so much turning, or (where its depth is unknown) with so much moving."""

DEPTH_STEPS = 8
DEPTH_TOLERANCE = 0.05
"""Steps by which a pixel's depth is sought in a view, and the share of it by which the two may disagree."""

MIRROR_COST, STALE_COST = 0.3, 1.0
"""What a mirrored cut-out, and one of quality 0, cost in radians of side: a slice that the edge cut off is shown for
want of better alone."""

MIP_LEVELS = 4
"""A cut-out is halved up to so many times less one before it is drawn small, so that it does not flicker."""

LARGEST_BOARD = 1.0
"""A board with half a side longer than so many pictures stands before the lens, and is not drawn."""

ROWS_EVERY = 3
"""A hole is filled from levels that halve columns each time, and rows every third time."""

SLOW_M = 0.02
"""A subject slower than this, metres a video frame, does not tell which way it faces."""


class PlacedSubjects(NamedTuple):
    """Where subjects will be. ``velocity``: metres a video frame. ``shown``: opacity, 0 to 1."""

    position: Float[Tensor, "b t s 3"]
    velocity: Float[Tensor, "b t s 3"]
    shown: Float[Tensor, "b t s"]


class Rendered(NamedTuple):
    """``pixels`` in [−1, 1]; ``coverage`` and ``subject``, 0 to 1: what memory knows, and what of it shows a subject.
    ``depth``: of the scenery along the axis, metres; 0 where unknown."""

    pixels: Float[Tensor, "b t 3 height width"]
    coverage: Float[Tensor, "b t height width"]
    subject: Float[Tensor, "b t height width"]
    depth: Float[Tensor, "b t height width"]


def render(
    views: Views,
    cameras: Float[Tensor, "b t 12"],
    intrinsics: Lenses,
    size: tuple[int, int],
    cutouts: Cutouts | None = None,
    placed: PlacedSubjects | None = None,
) -> Rendered:
    """Draw what is remembered as ``cameras`` will see it, pictures of ``size`` (height, width)."""
    # Frame by frame, here and below: at once, all views of all frames in full size are many gigabytes.
    frames = [render_scenery(views, camera, intrinsics, size) for camera in cameras.unbind(dim=1)]
    scenery = Rendered(*(torch.stack(part, dim=1) for part in zip(*frames, strict=True)))
    if cutouts is None or placed is None:
        return scenery
    return with_subjects(scenery, cutouts, placed, cameras, intrinsics)


def render_scenery(
    views: Views, camera: Float[Tensor, "b 12"], intrinsics: Lenses, size: tuple[int, int]
) -> Rendered:
    """Draw the static world of one frame: views blended by how nearly they look the same way, subjects left out."""
    near = nearness(views, camera)
    chosen = near.topk(min(VIEWS_A_FRAME, near.shape[1]), dim=1)
    seen = warped(views.at(chosen.indices), camera, intrinsics, size)
    # Relative to the best, so that a far view shows whole what no near one does.
    weight = chosen.values / chosen.values.amax(dim=1, keepdim=True).clamp(min=1e-30)
    there = (chosen.values > 0)[..., None, None]
    weight = weight.clamp(min=1e-12)[..., None, None] * seen.known * there
    total = weight.sum(dim=1)
    share = weight / total[:, None].clamp(min=1e-12)
    covered = (seen.known * there).amax(dim=1)
    hole = total <= 1e-12
    return Rendered(
        pixels=filled_in((share[:, :, None] * seen.pixels).sum(dim=1), ~hole),
        coverage=covered.masked_fill(hole, 0),
        subject=torch.zeros_like(covered),
        depth=(share * seen.depth).sum(dim=1),
    )


def filled_in(
    pixels: Float[Tensor, "b 3 height width"], known: Bool[Tensor, "b height width"]
) -> Float[Tensor, "b 3 height width"]:
    """Fill holes softly with what is known around them, 0 where nothing is: from beside them rather than from above or
    below, since sky, horizon and ground go on sideways.

    Source: the pull-push algorithm of Gortler et al., The Lumigraph (1996), whose levels halve both axes alike.
    """
    if bool(known.all()):
        return pixels
    weight = known[:, None].to(pixels)
    sums, weights = [pixels * weight], [weight]
    while max(sums[-1].shape[-2:]) > 1:
        height, width = sums[-1].shape[-2:]
        rows = 2 if height > 1 and (len(sums) % ROWS_EVERY == 0 or width == 1) else 1
        cell = (rows, 2 if width > 1 else 1)
        sums.append(avg_pool2d(sums[-1], cell, ceil_mode=True))
        weights.append(avg_pool2d(weights[-1], cell, ceil_mode=True))
    coarse = sums[-1] / weights[-1].clamp(min=1e-6)
    for total, weight in zip(sums[-2::-1], weights[-2::-1], strict=True):
        around = interpolate(coarse, size=total.shape[-2:], mode="bilinear", align_corners=False)
        coarse = torch.where(weight > 0, total / weight.clamp(min=1e-6), around)
    return coarse


def nearness(views: Views, camera: Float[Tensor, "b 12"]) -> Float[Tensor, "b n"]:
    """Weigh views by how nearly they look a camera's way, and stand where it stands unless they know depth; 0:
    empty."""
    poses, own = views.poses.float().unflatten(-1, (3, 4)), camera.float().unflatten(-1, (3, 4))[:, None]
    # |R − R'|² = 4·(1 − cos angle) is exact near 0, where arccos of the trace is not.
    apart = ((poses[..., :3] - own[..., :3]) ** 2).sum(dim=(-2, -1))
    angle = torch.rad2deg(2 * torch.asin((apart / 8).clamp(max=1).sqrt()))
    moved = (poses[..., 3] - own[..., 3]).norm(dim=-1)
    if views.depth is not None:
        moved = moved * (views.depth.flatten(2) == 0).float().mean(dim=2)
    return (-angle / ANGLE_SCALE_DEG - moved / MOVE_SCALE_M).clamp(min=-60).exp() * views.filled


class Warped(NamedTuple):
    """Views as another camera sees them. ``known``: 0 to 1, how surely a pixel shows the static world of its view."""

    pixels: Float[Tensor, "b n 3 height width"]
    known: Float[Tensor, "b n height width"]
    depth: Float[Tensor, "b n height width"]


def warped(views: Views, camera: Float[Tensor, "b 12"], intrinsics: Lenses, size: tuple[int, int]) -> Warped:
    """Draw each view as ``camera`` sees it: exactly where it only turns (the homography K·R·K⁻¹), by the view's depth
    where that is known, else as if all were far away."""
    rays = _world_rays(camera, intrinsics, size)[:, None]  # [b, 1, 3, height, width], length 1 along the axis
    poses = views.poses.float().unflatten(-1, (3, 4))
    position = camera.float().unflatten(-1, (3, 4))[:, None, :, 3]
    moved = poses[..., 3] - position  # [b, n, 3]
    depth = rays.new_zeros(*views.filled.shape, *size)
    agrees = torch.ones_like(depth, dtype=torch.bool)
    if views.depth is None:
        local = _turned(poses, rays)
    else:
        local, depth, agrees = _by_depth(views, views.depth, poses, rays, moved)
    places, in_front = _grid_places(local, views.intrinsics)
    picture = torch.cat((views.pixels.float() / 127.5 - 1, views.static[:, :, None].float() / 255), dim=2)
    read = grid_sample(
        picture.flatten(0, 1), places, mode="bilinear", padding_mode="border", align_corners=False
    )
    read = read.unflatten(0, picture.shape[:2])
    inside = (places.abs().amax(dim=-1) <= 1).unflatten(0, picture.shape[:2]) & in_front & agrees
    return Warped(read[:, :, :3], read[:, :, 3] * inside * views.filled[..., None, None], depth * inside)


def _world_rays(
    camera: Float[Tensor, "b 12"], intrinsics: Lenses, size: tuple[int, int]
) -> Float[Tensor, "b 3 height width"]:
    """Return the ray through every pixel's middle in the frame of reference, of length 1 along the camera's axis."""
    rows, columns = token_places(*size, camera.device)
    x, y = (columns + 0.5) / size[1], (rows + 0.5) / size[0]
    fx, fy, cx, cy = intrinsics.float()[:, :, None, None].unbind(dim=1)
    local = torch.stack(((x - cx) / fx, (y - cy) / fy, torch.ones_like(cx) * torch.ones_like(x)), dim=1)
    return torch.einsum("bij,bjhw->bihw", camera.float().unflatten(-1, (3, 4))[..., :3], local)


def _turned(poses: Float[Tensor, "b n 3 4"], rays: Float[Tensor, "b n 3 height width"]) -> Tensor:
    """Express directions in each view's own axes."""
    return torch.einsum("bnji,bnjhw->bnihw", poses[..., :3], rays.expand(-1, poses.shape[1], -1, -1, -1))


def _by_depth(
    views: Views, depth: Tensor, poses: Tensor, rays: Tensor, moved: Float[Tensor, "b n 3"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Find how far along each ray the first surface lies that a view saw: where the view's depth at the point's picture
    is the point's own. It is sought from the nearest that the view saw, and from what it saw in the ray's direction;
    the nearer one counts. What finds none is hidden there, and does not agree; without depth a pixel counts as far
    away."""
    turned, offset = _turned(poses, rays), torch.einsum("bnji,bnj->bni", poses[..., :3], -moved)
    ahead = _seen_depth(views, depth, turned)[0]
    close = depth.float().masked_fill(depth <= 0, torch.inf).amin(dim=(2, 3))[..., None, None]
    starts = torch.where(close.isfinite(), close, 1.0).expand_as(ahead), torch.where(ahead > 0, ahead, 1.0)
    (first, first_agrees), (last, last_agrees) = (
        _sought(views, depth, turned, offset, start) for start in starts
    )
    along = torch.where(first_agrees & (~last_agrees | (first < last)), first, last)
    agrees = first_agrees | last_agrees
    far = ~agrees & (ahead <= 0)
    local = torch.where(far[:, :, None], turned, along[:, :, None] * turned + offset[..., None, None])
    return local, along * agrees, agrees | far


def _sought(
    views: Views, depth: Tensor, turned: Tensor, offset: Tensor, along: Tensor
) -> tuple[Tensor, Tensor]:
    """Go along rays to where the depth that a view saw there is the point's own; and tell whether there is such a
    place. Each step would be the last before a plane that faces the view."""
    for _ in range(DEPTH_STEPS):
        local = along[:, :, None] * turned + offset[..., None, None]
        there, _ = _seen_depth(views, depth, local)
        facing = turned[:, :, 2] > 0.05
        step = torch.where(
            facing,
            (there - offset[:, :, 2, None, None]) / turned[:, :, 2].clamp(min=0.05),
            along * there / local[:, :, 2].clamp(min=1e-3),
        )
        along = torch.where(there > 0, step.clamp(min=along * 0.25, max=along * 4), along)
    local = along[:, :, None] * turned + offset[..., None, None]
    there, inside = _seen_depth(views, depth, local)
    return along, inside & ((there - local[:, :, 2]).abs() <= DEPTH_TOLERANCE * there)


def _seen_depth(
    views: Views, depth: Tensor, local: Float[Tensor, "b n 3 height width"]
) -> tuple[Tensor, Tensor]:
    """Return the depth that each view saw where it pictures points of its own frame, and which lie in its picture."""
    places, in_front = _grid_places(local, views.intrinsics)
    kept = depth.float().flatten(0, 1)[:, None]
    read = grid_sample(kept, places, mode="nearest", padding_mode="border", align_corners=False)
    inside = (places.abs().amax(dim=-1) <= 1).unflatten(0, views.filled.shape) & in_front
    return read[:, 0].unflatten(0, views.filled.shape), inside


def _grid_places(
    local: Float[Tensor, "b n 3 height width"], intrinsics: Float[Tensor, "b n 4"]
) -> tuple[Float[Tensor, "bn height width 2"], Bool[Tensor, "b n height width"]]:
    """Return where ``grid_sample`` finds points of each view's own frame, and whether they lie before its camera."""
    in_front = local[:, :, 2] > 1e-4
    depth = local[:, :, 2].clamp(min=1e-4)
    fx, fy, cx, cy = intrinsics.float()[..., None, None].unbind(dim=2)
    x, y = fx * local[:, :, 0] / depth + cx, fy * local[:, :, 1] / depth + cy
    return (2 * torch.stack((x, y), dim=-1) - 1).clamp(-4, 4).flatten(0, 1), in_front


def with_subjects(
    scenery: Rendered,
    cutouts: Cutouts,
    placed: PlacedSubjects,
    cameras: Float[Tensor, "b t 12"],
    intrinsics: Lenses,
) -> Rendered:
    """Put subjects up as boards that face the camera, the farthest first; what stands nearer by depth hides them."""
    frames = []
    for index in range(cameras.shape[1]):
        frame = slice(index, index + 1)
        empty = Rendered(*(part[:, frame] for part in scenery))
        there = PlacedSubjects(*(part[:, frame] for part in placed))
        frames.append(_with_boards(empty, cutouts, there, cameras[:, frame], intrinsics))
    return Rendered(*(torch.cat(part, dim=1) for part in zip(*frames, strict=True)))


def _with_boards(
    scenery: Rendered, cutouts: Cutouts, placed: PlacedSubjects, cameras: Tensor, intrinsics: Tensor
) -> Rendered:
    poses = cameras.float().unflatten(-1, (3, 4))
    away = placed.position.float() - poses[..., None, :, 3]
    order = away.norm(dim=-1).argsort(dim=-1, descending=True)  # [b, t, s]
    ahead = (away * poses[..., None, :, 2]).sum(dim=-1)
    height, width = scenery.pixels.shape[-2:]
    drawn = _drawn(cutouts, placed, cameras, intrinsics, (height, width))  # [b, t, s, 4, height, width]
    pixels, coverage, subject = scenery.pixels, scenery.coverage, scenery.subject
    for rank in range(order.shape[-1]):
        pick = order[..., rank, None]
        board = drawn.gather(2, pick[..., None, None, None].expand(-1, -1, 1, *drawn.shape[3:]))[:, :, 0]
        distance = ahead.gather(2, pick)[..., None]
        hidden = (scenery.depth > 0) & (scenery.depth < distance)
        alpha = board[:, :, 3] * ~hidden
        pixels = pixels + alpha[:, :, None] * (board[:, :, :3] - pixels)
        coverage, subject = coverage + alpha * (1 - coverage), subject + alpha * (1 - subject)
    return Rendered(pixels, coverage, subject, scenery.depth)


def _drawn(
    cutouts: Cutouts, placed: PlacedSubjects, cameras: Tensor, intrinsics: Tensor, size: tuple[int, int]
) -> Float[Tensor, "b t s 4 height width"]:
    """Draw each subject alone: its best cut-out over the box that it has there."""
    seen = project_points(placed.position, cameras, size, intrinsics[:, None])
    index, mirrored = best_cutout(cutouts, placed, cameras)
    batch = torch.arange(len(index), device=index.device)[:, None, None]
    subject = torch.arange(index.shape[2], device=index.device)
    box = cutouts.box.float()[batch, subject, index]  # [b, t, s, 4]
    flip = torch.where(mirrored, -1.0, 1.0)
    x, y, half_width, half_height = (box * seen.tokens_per_metre[..., None]).unbind(dim=-1)
    column, row = seen.columns + flip * x, seen.rows + y
    exists = seen.in_front & (cutouts.quality[batch, subject, index] > 0)
    exists = exists & (torch.maximum(half_width, half_height) < LARGEST_BOARD * max(size))
    columns = torch.arange(size[1], device=index.device, dtype=torch.float32)
    rows = torch.arange(size[0], device=index.device, dtype=torch.float32)
    across = flip[..., None] * (columns - column[..., None]) / half_width.clamp(min=0.25)[..., None]
    down = (rows - row[..., None]) / half_height.clamp(min=0.25)[..., None]
    shape = (*across.shape[:3], *size)
    places = torch.stack((across[..., None, :].expand(shape), down[..., :, None].expand(shape)), dim=-1)
    boards = cutouts.pixels[batch, subject, index].flatten(0, 2).float()
    read = _sampled_small(boards, places.flatten(0, 2), torch.maximum(half_width, half_height).flatten())
    read = read.unflatten(0, shape[:3])
    alpha = read[:, :, :, 3:] / 255 * (placed.shown * exists)[..., None, None, None]
    return torch.cat((read[:, :, :, :3] / 127.5 - 1, alpha), dim=3)


def _sampled_small(
    boards: Float[Tensor, "n 4 p p"], places: Float[Tensor, "n height width 2"], half_px: Float[Tensor, " n"]
) -> Float[Tensor, "n 4 height width"]:
    """Read boards at places; one that is drawn smaller than it is kept is averaged first."""
    level = torch.log2(boards.shape[-1] / (2 * half_px).clamp(min=1)).round().clamp(0, MIP_LEVELS - 1)
    result = torch.zeros(len(boards), 4, *places.shape[1:3], device=boards.device)
    for depth in range(MIP_LEVELS):
        if depth:
            boards = avg_pool2d(boards, 2)
        use = level == depth
        if bool(use.any()):
            result[use] = grid_sample(boards[use], places[use], padding_mode="zeros", align_corners=False)
    return result


def best_cutout(
    cutouts: Cutouts, placed: PlacedSubjects, cameras: Float[Tensor, "b t 12"]
) -> tuple[Int[Tensor, "b t s"], Bool[Tensor, "b t s"]]:
    """Choose for every frame the cut-out whose side is nearest to the one that will be seen, and whether to mirror it.

    A subject whose heading is unknown shows its best cut-out, as it is.
    """
    wanted, known = seen_side(placed.position, placed.velocity, cameras)
    side, quality = cutouts.side[:, None].float(), cutouts.quality[:, None].float()  # [b, 1, s, m]
    known = known[..., None].float()
    as_it_is = _turn(side - wanted[..., None]).abs() * known
    mirrored = _turn(-side - wanted[..., None]).abs() * known + MIRROR_COST
    cost = torch.stack((as_it_is, mirrored))  # [2, b, t, s, m]
    cost = cost + STALE_COST * (1 - quality) + 1e3 * (quality <= 0)
    best = cost.movedim(0, -2).flatten(-2).argmin(dim=-1)
    return best % side.shape[-1], best >= side.shape[-1]


def seen_side(
    position: Float[Tensor, "b t s 3"], velocity: Float[Tensor, "b t s 3"], cameras: Float[Tensor, "b t 12"]
) -> tuple[Float[Tensor, "b t s"], Bool[Tensor, "b t s"]]:
    """Return the side from which each camera sees each subject (``Cutouts.side``), and whether its heading is known.

    The vertical is the reference's y axis (down), as for level cameras.
    """
    towards = cameras.float().unflatten(-1, (3, 4))[..., None, :, 3] - position.float()
    heading = torch.atan2(velocity[..., 0].float(), velocity[..., 2].float())
    side = _turn(torch.atan2(towards[..., 0], towards[..., 2]) - heading)
    return side, velocity[..., ::2].norm(dim=-1) > SLOW_M


def _turn(angle: Tensor) -> Tensor:
    """Bring angles to [−π, π]."""
    return angle - 2 * torch.pi * torch.round(angle / (2 * torch.pi))


def placed_subjects(
    predicted: PredictedSubjects, draw: float, generator: torch.Generator | None = None
) -> PlacedSubjects:
    """Put subjects where the tracker predicts them, or ``draw`` of its deviations off, level, one way for all
    times."""
    position = predicted.position
    if draw:
        batch, _, subjects, _ = position.shape
        offset = torch.randn(batch, 1, subjects, 3, generator=generator) * torch.tensor((1.0, 0.0, 1.0))
        position = position + draw * offset.to(position) * predicted.variance.clamp(min=0).sqrt()[..., None]
    shown = predicted.filled[:, None].expand(predicted.variance.shape).float()
    return PlacedSubjects(position, predicted.velocity, shown)


def condition_masks(
    rendered: Rendered, factor: int, *, first_alone: bool = True, stride: int = 4
) -> Float[Tensor, "b 8 f h w"]:
    """Bring coverage and subject to latent pixels (``factor`` pixels each way), ``stride`` video frames as channels.

    ::

        video frame    0 1 2 3 4 5 6 7 8     ``first_alone``: the first frame stands for a latent frame of its own,
        latent frame   0 └──1──┘ └──2──┘     and fills all its channels

    Source: the mask of Wan's image-to-video model, 4 channels a latent frame.
    """
    masks = torch.stack((rendered.coverage, rendered.subject), dim=1)  # [b, 2, t, height, width]
    if first_alone:
        masks = torch.cat((masks[:, :, :1].expand(-1, -1, stride - 1, -1, -1), masks), dim=2)
    pooled = avg_pool2d(masks.flatten(0, 2)[:, None], factor)[:, 0].unflatten(0, masks.shape[:3])
    return pooled.unflatten(2, (-1, stride)).movedim(3, 2).flatten(1, 2)


def given_to_skip(rendered: Rendered) -> Float[Tensor, "b t 5 height width"]:
    """Lay colours, coverage and subject together, as the decoder's skip takes them."""
    return torch.cat((rendered.pixels, rendered.coverage[:, :, None], rendered.subject[:, :, None]), dim=2)
