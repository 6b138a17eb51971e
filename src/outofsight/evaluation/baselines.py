"""Rows between which every model must lie: baselines that each lack one thing, and upper bounds that nothing can pass.

| baseline | lacks | caught by |
| --- | --- | --- |
| frozen: the last context frame, repeated | all motion | relative motion, psnr |
| camera_warped: the last context frame, turned with the camera | what it did not show, subjects' motion | return gate |
| nearest_view: for each frame the context frame that looked most nearly there | what changed since | trajectory error |
| rendered_view: the static world as the context shows it, turned to each target camera | subjects | return gate |
| vanished: the truth without its subjects | the subjects | return gate, detection rate |
| swapped: the truth with another subject in each one's place | identity | identity accuracy, DSC |

| upper bound | says |
| --- | --- |
| truth: the truth against itself | that a metric is satisfied by what it asks for |
| round trip: the truth through the model's VAE | what no model on these latents can pass |

Where the engine can render a clip's world again, ``engine_baselines`` makes *vanished* and *swapped* from the world.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import convolve

from outofsight.errors import InputError
from outofsight.evaluation.case import ClipCase, Masks, Video, check_generated
from outofsight.evaluation.evidence import observed_from_masks, wholly_inside
from outofsight.evaluation.image_metrics import dilated, dilation_radius_px
from outofsight.geometry.frustum import picture_of, tangents_of
from outofsight.geometry.poses import relative_poses, rotation_angle
from outofsight.memory.banks.pictures import Picture, joined, view_of
from outofsight.memory.rendering import render
from outofsight.types import CameraPath, Intrinsics

FRAMES_PER_VIEW = 4
"""``rendered_view`` keeps a view of so many context frames, as many as a latent frame stands for."""

MOST_FRAMES_TRIED = 40
"""A hidden pixel is looked for in at most so many other frames, nearest in time first."""

MOST_CUTOUTS, LEAST_DONOR_SHARE = 12, 0.002
"""Cut-outs that stand in for another subject, and the share of the picture that each must cover."""


def frozen(case: ClipCase) -> Video:
    """Repeat the last context frame."""
    return np.repeat(case.context[-1:], case.num_target_frames, axis=0)


def camera_warped(case: ClipCase) -> Video:
    """Turn the last context frame with the camera; what it did not show repeats its edge.

    Exact for a camera that only turns; one that also moves leaves the parallax out.

    Raises ``InputError`` if the cameras or their lens are not known.
    """
    cameras, intrinsics = _cameras_of(case)
    poses, split = cameras.world_from_camera, case.num_context_frames
    seen_at = (turned_pixels(pose, poses[split - 1], intrinsics) for pose in poses[split:])
    return np.stack([to_bytes(sampled(case.context[-1], pixels)) for pixels in seen_at])


def nearest_view(case: ClipCase) -> Video:
    """Show for each target frame the context frame whose camera looked most nearly the same way, the latest of equals.
    Raises ``InputError`` if the cameras are not known."""
    if case.cameras is None:
        raise InputError(f"clip {case.name!r}: the nearest view needs the camera path, which is not known")
    rotations, split = case.cameras.world_from_camera[:, :, :3], case.num_context_frames
    turns = rotation_angle(rotations[split:, None].swapaxes(-1, -2) @ rotations[None, :split])
    latest_first = np.round(turns[:, ::-1], 6)  # equal within a millionth of a radian
    nearest: Video = case.context[split - 1 - latest_first.argmin(axis=1)]
    return nearest


def rendered_view(case: ClipCase) -> Video:
    """Render the static world from the context's views, subjects left out by their true masks (``memory.rendering``).

    One view for every latent frame, as the archivist keeps them; what none shows is grey. No network: no model deserves
    praise on scenery that does not pass it.

    Raises ``InputError`` if the cameras, their lens or the subjects' masks are not known.
    """
    (cameras, lens), foreground = _cameras_of(case), _foreground_of(case, "leaving")
    split, (height, width) = case.num_context_frames, case.truth.shape[1:3]
    poses = relative_poses(cameras.world_from_camera, cameras.world_from_camera[split]).reshape(1, -1, 12)
    anchored, intrinsics = torch.from_numpy(poses).float(), torch.from_numpy(lens.normalized)[None]
    views = []
    for frame in range(0, split, FRAMES_PER_VIEW):
        shown = torch.from_numpy(foreground[frame].astype(np.float32))[None]
        pixels = torch.from_numpy(case.context[frame].transpose(2, 0, 1).copy())[None]
        time = torch.tensor([float(frame)])
        views.append(view_of(Picture(pixels, shown, anchored[:, frame], time, intrinsics)))
    drawn = render(joined(views), anchored[:, split:], intrinsics, (height, width))
    return to_bytes((drawn.pixels[0].permute(0, 2, 3, 1).double().numpy() + 1) * 127.5)


def vanished(case: ClipCase) -> Video:
    """Paint the subjects out of the truth.

    A pixel behind a subject is taken from the frame nearest in time that saw the place without one, turned with the
    camera (where the cameras are not known: from the same place in the picture); what no frame saw is taken from the
    nearest pixel without a subject. Shadows stay.

    Raises ``InputError`` if the clip has no subject masks.
    """
    hidden = dilated(_foreground_of(case, "painting"), dilation_radius_px(case.truth.shape[1]))
    video = np.concatenate([case.context, case.truth])
    split = case.num_context_frames
    return np.stack([_without(case, video, hidden, frame) for frame in range(split, case.num_frames)])


def _without(case: ClipCase, video: Video, hidden: Masks, frame: int) -> NDArray[np.uint8]:
    """Fill the hidden pixels of one frame from other frames, then from their neighbours."""
    picture, left = video[frame].copy(), hidden[frame].copy()
    others = sorted((n for n in range(len(video)) if n != frame), key=lambda n: abs(n - frame))
    for other in others[:MOST_FRAMES_TRIED]:
        if not left.any():
            return picture
        rows, columns = np.nonzero(left)
        places = _places(case, frame, other)[rows, columns]
        seen = within_picture(places, *picture.shape[:2])
        row = np.clip(places[:, 1].astype(int), 0, picture.shape[0] - 1)
        column = np.clip(places[:, 0].astype(int), 0, picture.shape[1] - 1)
        seen &= ~hidden[other][row, column]
        rows, columns, places = rows[seen], columns[seen], places[seen]
        picture[rows, columns] = to_bytes(sampled(video[other], places))
        left[rows, columns] = False
    return _filled_from_nearest(picture, left)


def _places(case: ClipCase, frame: int, other: int) -> NDArray[np.float64]:
    """Find where another frame sees each pixel of a frame [h, w, 2]."""
    height, width = case.truth.shape[1:3]
    if case.cameras is None or case.cameras.intrinsics is None:
        return np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    poses = case.cameras.world_from_camera
    return turned_pixels(poses[frame], poses[other], _cameras_of(case)[1])


def _filled_from_nearest(picture: NDArray[np.uint8], missing: Masks) -> NDArray[np.uint8]:
    """Give every missing pixel the mean colour of the known ones that touch it, ring by ring inwards."""
    if missing.all():
        raise InputError(
            "a subject covers the whole picture in all frames; nothing is left to paint it out with"
        )
    picture, known, touching = picture.copy(), ~missing, np.ones((3, 3, 1))
    while not known.all():
        values = picture.astype(np.float64) * known[..., None]
        total = convolve(values, touching, mode="constant")
        number = convolve(known[..., None].astype(np.float64), touching, mode="constant")
        reached = ~known & (number[..., 0] > 0)
        picture[reached] = to_bytes(total[reached] / number[reached])
        known |= reached
    return picture


def swapped(case: ClipCase, donor: ClipCase) -> Video:
    """Put the donor's subject in the place of every subject of the truth.

    The donor's best sightings (whole in the picture, the largest first) are cut out along their masks, scaled to the
    height of the true subject's box, and pasted over the painted-out truth, feet on the box's lower edge; they take
    turns, so that the stand-in moves as it goes.

    Raises ``InputError`` if a clip lacks subjects' masks, or the donor is never seen whole and large.
    """
    if case.subject_masks is None or donor.subject_masks is None:
        raise InputError(
            f"clip {case.name!r}: swapping needs masks of single subjects in it and in {donor.name!r}"
        )
    cutouts = _cutouts(donor, donor.subject_masks[0])
    if not cutouts:
        raise InputError(
            f"clip {donor.name!r}: its subject is never seen whole and large; take another donor"
        )
    result = vanished(case)
    boxes = observed_from_masks(case.subject_masks[:, case.num_context_frames :]).boxes_px
    for subject, frame in np.argwhere(~np.isnan(boxes[..., 0])).tolist():
        _paste(result[frame], *cutouts[frame % len(cutouts)], boxes[subject, frame])
    return result


def _cutouts(donor: ClipCase, masks: Masks) -> list[tuple[NDArray[np.uint8], Masks]]:
    """Cut a subject out where its masks [n, h, w] are whole and large, in the order of frames: pictures, masks."""
    video, seen = np.concatenate([donor.context, donor.truth]), observed_from_masks(masks[None])
    height, width = video.shape[1:3]
    large = wholly_inside(seen.boxes_px[0], height, width) & (
        seen.area_px[0] >= LEAST_DONOR_SHARE * height * width
    )
    largest = sorted(np.flatnonzero(large).tolist(), key=lambda frame: -seen.area_px[0, frame])
    cutouts = []
    for frame in sorted(largest[:MOST_CUTOUTS]):
        x0, y0, x1, y1 = seen.boxes_px[0, frame].astype(int)
        cutouts.append((video[frame, y0:y1, x0:x1], masks[frame, y0:y1, x0:x1]))
    return cutouts


def _paste(
    picture: NDArray[np.uint8], cutout: NDArray[np.uint8], mask: Masks, box: NDArray[np.float32]
) -> None:
    """Scale a cut-out to a box's height and paste it into the picture, in place, standing on the box's lower edge."""
    scale = len(cutout) / max(float(box[3] - box[1]), 1.0)
    width = cutout.shape[1] / scale
    x0, y0 = float(box[0] + box[2] - width) / 2, float(box[1])
    rows, columns = np.indices(picture.shape[:2])
    places = np.stack([(columns + 0.5 - x0) * scale, (rows + 0.5 - y0) * scale], axis=-1)
    inside = within_picture(places, *mask.shape)
    cover = inside & (sampled(mask[..., None], places)[..., 0] >= 0.5)
    picture[cover] = to_bytes(sampled(cutout, places[cover]))


def round_trip(case: ClipCase, through: Callable[[Video], Video]) -> Video:
    """Send the truth through a function that encodes and decodes it, such as a model's VAE.
    Raises ``InputError`` if what comes back is no video of the truth's size."""
    rebuilt = through(case.truth)
    check_generated(case, rebuilt)
    return rebuilt


def _foreground_of(case: ClipCase, doing: str) -> Masks:
    if case.foreground is None:
        raise InputError(
            f"clip {case.name!r}: {doing} subjects out needs their masks, of which there are none"
        )
    return case.foreground


def _cameras_of(case: ClipCase) -> tuple[CameraPath, Intrinsics]:
    """Give the cameras and their lens, in pixels of the case's pictures."""
    if case.cameras is None or case.cameras.intrinsics is None:
        raise InputError(
            f"clip {case.name!r}: turning a picture needs cameras with intrinsics, which are not known"
        )
    lens, (height, width) = case.cameras.intrinsics, case.truth.shape[1:3]
    if (lens.height_px, lens.width_px) != (height, width):
        raise InputError(
            f"clip {case.name!r}: the cameras' lens is for pictures of {lens.height_px}×{lens.width_px}, the video has "
            f"{height}×{width}; scale the intrinsics with the video"
        )
    return case.cameras, lens


LEAST_DEPTH = 1e-3
"""Rays at or behind the source camera's plane are held at this depth: they land far outside, on the nearest edge."""


def turned_pixels(
    world_from_target: NDArray[np.float64], world_from_source: NDArray[np.float64], intrinsics: Intrinsics
) -> NDArray[np.float64]:
    """Find where the source camera sees what the target camera's pixels see [h, w, 2] (x, y in px).

    Only the cameras' turns are taken into account, as if everything were far away.
    """
    middles = np.meshgrid(np.arange(intrinsics.width_px) + 0.5, np.arange(intrinsics.height_px) + 0.5)
    tangents = tangents_of(np.stack(middles, axis=-1), intrinsics.lens_px)
    rays = np.concatenate([tangents, np.ones((*tangents.shape[:-1], 1))], axis=-1)
    source_from_target = world_from_source[:, :3].T @ world_from_target[:, :3]
    rays = rays @ source_from_target.T
    return np.asarray(picture_of(rays[..., :2] / np.maximum(rays[..., 2:], LEAST_DEPTH), intrinsics.lens_px))


def within_picture(pixels: NDArray[np.float64], height_px: int, width_px: int) -> Masks:
    """Tell which pixels [..., 2] lie in the picture."""
    x, y = pixels[..., 0], pixels[..., 1]
    return np.asarray((x >= 0) & (x <= width_px) & (y >= 0) & (y <= height_px))


def sampled(picture: NDArray[np.generic], pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Read a picture [h, w, channels] at pixels [..., 2], bilinear; outside it the edge is repeated."""
    values = picture.astype(np.float64)
    height, width = values.shape[:2]
    x = np.clip(pixels[..., 0] - 0.5, 0, width - 1)
    y = np.clip(pixels[..., 1] - 0.5, 0, height - 1)
    left = np.minimum(np.floor(x).astype(int), max(width - 2, 0))
    top = np.minimum(np.floor(y).astype(int), max(height - 2, 0))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    along_x, along_y = (x - left)[..., None], (y - top)[..., None]
    upper = values[top, left] * (1 - along_x) + values[top, right] * along_x
    lower = values[bottom, left] * (1 - along_x) + values[bottom, right] * along_x
    return upper * (1 - along_y) + lower * along_y


def to_bytes(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Round values 0..255 to uint8."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
