"""What keeps rendered memory from the truth: reading, masks, views, or that nobody can know where subjects went?

    python benchmarks/render_limits.py --model mini --data test --clips 48 --out benchmarks/results/render_limits.json

``data``: a data set of annotated clips. Each clip's target is rendered from the two banks, without
the network, and more and more is given of what is true::

    banks, latents alone           the scene reader says who is where, the mask reader what is cut out
    banks                          masks say who is where, too; the tracker predicts
    banks, true masks              whose pixels are a subject's is given
    true reading, read masks       what each token shows of subjects is given, the tracker predicts from that
    true reading, true masks
      ... still, straight          the tracker's subjects stand where they were last truly seen, or go straight on
      ... true place               they are where they truly are: nothing is left to be predicted
    banks, true place
    banks, no subjects             the scenery alone
    banks, true masks, no subjects
    every view, true masks, no subjects    nothing is left out of the archive

Metrics, over the target's frames: ``psnr``, ``bg_psnr`` and ``fg_psnr`` as ``outofsight evaluate`` has them (the latter
two outside and inside of widened masks); ``overlap``: share of the frames that show a subject in which the rendered one
meets it; ``iou`` of both in those frames; ``ghosts``: share of the frames that show none in which one is rendered.
``mask_iou``: of read masks, over the context's frames together. With ``--videos`` also what ``evaluate`` finds
of subjects in some of them. ``difference``: to the first row, in pairs.
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from outofsight.data.dataset import open_dataset
from outofsight.data.video import write_video
from outofsight.evaluation.image_metrics import dilated, dilation_radius_px, frame_psnr, region_psnr
from outofsight.evaluation.results import paired_difference, summarise
from outofsight.geometry.poses import invert_rigid, relative_poses, transform_points
from outofsight.memory.banks.pictures import Picture, joined, view_of
from outofsight.memory.banks.scene_reader import reading_from_truth
from outofsight.memory.banks.state import Banks, SceneReading, Views
from outofsight.memory.banks.two_banks import latent_times
from outofsight.memory.rendering import PlacedSubjects, Rendered, placed_subjects, render
from outofsight.sampling.inputs import as_pixels
from outofsight.sampling.remembered import see_pictures, subject_share, to_pictures
from outofsight.sampling.world import WorldModel
from outofsight.types import Clip
from record import add_out, finish

LEAST_SHOWN_PX, LEAST_DRAWN_PX = 20, 8
"""A frame shows a subject from so many pixels on; one is rendered in it from so many on."""

FOUND = ("banks, latents alone", "banks", "true reading, true masks", "true reading, true masks, still",
         "true reading, true masks, true place")  # fmt: skip
FOUND_METRICS = "detection_rate,identity_accuracy,dsc_gt,trajectory_error"
"""With ``--videos``, the recogniser looks for subjects in these, and says this of them."""

SAME_M = 3.0
"""A tracked subject is the true one within so many metres when it was last seen."""


class Seen:
    """A clip as the banks meet it: everything in the frame of the target's first camera."""

    def __init__(self, world: WorldModel, clip: Clip) -> None:
        self.clip, self.split = clip, clip.num_context_frames
        self.stride = stride = world.temporal_stride
        anchor = clip.cameras.world_from_camera[self.split]
        self.pixels = as_pixels(clip.video[: self.split], world)
        self.latents = world.encode_video(self.pixels)
        poses = relative_poses(clip.cameras.world_from_camera, anchor).reshape(1, -1, 12)
        self.poses = torch.from_numpy(poses).float()
        self.past, self.coming = self.poses[:, : self.split : stride], self.poses[:, self.split :]
        self.times = latent_times(self.past.shape[1], 1)[0][None]
        self.later = torch.arange(self.split, len(clip.video), dtype=torch.float32)[None]
        self.lens = torch.from_numpy(clip.cameras.intrinsics.normalized)[None]
        self.masks = subject_share(clip.masks, self.pixels, stride)
        places = [
            transform_points(invert_rigid(anchor), each.world_from_subject[:, :, 3]) for each in clip.subjects
        ]
        self.places = np.stack(places)  # [s, frames, 3]
        self.reading = self._true_reading(world, stride)

    def _true_reading(self, world: WorldModel, stride: int) -> SceneReading:
        ids = np.array([each.subject_id for each in self.clip.subjects])[:, None, None, None]
        masks = (self.clip.masks[None, : self.split : stride] == ids).astype(np.float32)
        patch = world.transformer.two_banks.reader.patch
        tokens = (self.latents.shape[3] // patch[0], self.latents.shape[4] // patch[1])
        shares = adaptive_avg_pool2d(torch.from_numpy(masks), tokens)[None]
        where = torch.from_numpy(self.places[:, : self.split : stride]).float()[None]
        width = world.transformer.two_banks.settings.identity_width
        identity = torch.eye(width)[: len(self.places)][None, :, None].expand(1, -1, where.shape[2], -1)
        return reading_from_truth(where, identity, shares, self.past, self.lens)


def observed(world: WorldModel, seen: Seen, reading: SceneReading | None, masks: Tensor | None) -> Banks:
    """Let empty banks see the context. ``reading``: believed as it is, whatever masks say."""
    frames = to_pictures(seen.pixels[:, :: world.temporal_stride])
    pictures = see_pictures(world, None, frames, seen.past, seen.times, seen.lens, masks)
    transformer, given = world.transformer, (seen.latents, seen.past, seen.times)
    if reading is None:
        return transformer.observe_context(*given, None, seen.lens, pictures)[0]
    memory = transformer.needed_banks()
    tokens = transformer.patch_embedding(seen.latents).flatten(3).permute(0, 2, 3, 1)
    empty = memory.empty(1, transformer.picture_grid(seen.latents))
    return memory.observe(empty, tokens, *given, seen.lens, reading=reading, pictures=pictures)[0]


def true_places(banks: Banks, seen: Seen, how: str) -> PlacedSubjects:
    """Put each tracked subject where the true one is that it was closest to when last seen; nobody: not shown."""
    tracks, moments = banks.tracks, seen.later[0].numpy()
    shape = (1, len(moments), tracks.position.shape[1])
    position, velocity, shown = torch.zeros(*shape, 3), torch.zeros(*shape, 3), torch.zeros(shape)
    for slot in tracks.filled[0].nonzero()[:, 0].tolist():
        last = min(int(tracks.last_seen[0, slot].round()), seen.split - 1)
        away = np.linalg.norm(seen.places[:, last] - tracks.position[0, slot].numpy(), axis=1)
        path = seen.places[away.argmin()]
        if away.min() > SAME_M:
            continue
        step = (path[last] - path[max(0, last - 2)]) / 2
        where = {
            "still": np.repeat(path[last][None], len(moments), axis=0),
            "straight": path[last] + step * (moments - last)[:, None],
            "true place": path[seen.split :],
        }[how]
        moves = (
            np.gradient(path, axis=0)[seen.split :]
            if how == "true place"
            else np.tile(step, (len(moments), 1))
        )
        position[0, :, slot], velocity[0, :, slot] = torch.from_numpy(where), torch.from_numpy(moves)
        shown[0, :, slot] = 1
    return PlacedSubjects(position, velocity, shown)


def archived(banks: Banks) -> Views:
    """Give the views that the archive keeps."""
    assert banks.views is not None
    return banks.views._replace(filled=banks.views.filled & banks.archive.filled)


def every_view(seen: Seen) -> Views:
    """Give a view of every latent frame, subjects left out by their true masks."""
    frames, numbers = to_pictures(seen.pixels[:, :: seen.stride]), range(seen.past.shape[1])
    assert seen.masks is not None
    pictures = [
        Picture(frames[:, n], seen.masks[:, n], seen.past[:, n], seen.times[:, n], seen.lens) for n in numbers
    ]
    return joined([view_of(picture) for picture in pictures])


def drawn(world: WorldModel, banks: Banks, seen: Seen, placed: PlacedSubjects | None) -> Rendered:
    """Render the target's frames; ``None``: where the tracker predicts its subjects."""
    if placed is None:
        predicted = world.transformer.two_banks.tracker.predict(banks.tracks, banks.time, seen.later)
        placed = placed_subjects(predicted, 0.0, None)
    height, width = seen.pixels.shape[-2:]
    return render(archived(banks), seen.coming, seen.lens, (height, width), banks.cutouts, placed)


def scenery(views: Views, seen: Seen) -> Rendered:
    """Render the target's frames without subjects."""
    height, width = seen.pixels.shape[-2:]
    return render(views, seen.coming, seen.lens, (height, width))


def judged(rendered: Rendered, clip: Clip) -> dict[str, float | None]:
    """Compare a rendered target with the true one."""
    split = clip.num_context_frames
    video = to_pictures(rendered.pixels)[0].movedim(1, -1).numpy()
    truth, true, subject = clip.video[split:], clip.masks[split:] > 0, rendered.subject[0].numpy() > 0.5
    widened = dilated(true, dilation_radius_px(truth.shape[1]))
    shows, empty = true.sum(axis=(1, 2)) > LEAST_SHOWN_PX, ~true.any(axis=(1, 2))
    both, either = (subject & true)[shows].sum(axis=(1, 2)), (subject | true)[shows].sum(axis=(1, 2))
    ghosts = subject[empty].sum(axis=(1, 2)) > LEAST_DRAWN_PX
    return {
        "psnr": float(frame_psnr(video, truth).mean()),
        "bg_psnr": region_psnr(video, truth, ~widened),
        "fg_psnr": region_psnr(video, truth, widened),
        "overlap": float((both > 0).mean()) if shows.any() else None,
        "iou": float((both / either).mean()) if shows.any() else None,
        "ghosts": float(ghosts.mean()) if empty.any() else None,
    }


@torch.no_grad()
def in_every_way(world: WorldModel, seen: Seen) -> dict[str, Rendered]:
    """Render one clip's target with more and more of what is true."""
    memory = world.transformer.needed_banks()
    latent = memory.read(seen.latents, seen.past.shape[1], seen.lens)
    banks = {
        "banks, latents alone": observed(world, seen, latent, None),
        "banks": observed(world, seen, None, None),
        "banks, true masks": observed(world, seen, None, seen.masks),
        "true reading, read masks": observed(world, seen, seen.reading, None),
        "true reading, true masks": observed(world, seen, seen.reading, seen.masks),
    }
    ways = {name: drawn(world, each, seen, None) for name, each in banks.items()}
    whole = banks["true reading, true masks"]
    for how in ("still", "straight", "true place"):
        ways[f"true reading, true masks, {how}"] = drawn(world, whole, seen, true_places(whole, seen, how))
    own = banks["banks"]
    ways["banks, true place"] = drawn(world, own, seen, true_places(own, seen, "true place"))
    ways["banks, no subjects"] = scenery(archived(own), seen)
    ways["banks, true masks, no subjects"] = scenery(archived(banks["banks, true masks"]), seen)
    ways["every view, true masks, no subjects"] = scenery(every_view(seen), seen)
    return ways


def write_videos(ways: dict[str, Rendered], clip: Clip, name: str, folder: Path) -> None:
    """Write what the recogniser is to look at, for ``found_in``."""
    for way in FOUND:
        (folder / slug(way)).mkdir(parents=True, exist_ok=True)
        pixels = to_pictures(ways[way].pixels)[0].movedim(1, -1).numpy()
        write_video(folder / slug(way) / f"{name}.mp4", pixels, clip.fps, quality="lossless")


def found_in(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Let ``outofsight evaluate`` find and recognise the subjects of the written videos."""
    videos = (part for way in FOUND for part in ("--videos", f"{slug(way)}={folder / slug(way)}"))
    subprocess.run(
        [sys.executable, "-m", "outofsight", "evaluate", "--data", str(args.data), "--out", str(folder / "report"),
         "--split", args.split, "--limit", str(args.clips), "--no-baselines", "--metrics", FOUND_METRICS, *videos,
         "--baseline", slug(FOUND[0])],
        check=True,
    )  # fmt: skip
    results = json.loads((folder / "report" / "results.json").read_text(encoding="utf-8"))
    return {way: next(iter(results["summaries"].values()))[slug(way)] for way in FOUND}


def slug(way: str) -> str:
    return way.replace(", ", "-").replace(" ", "_")


def read_iou(world: WorldModel, seen: Seen) -> float | None:
    """Compare the masks that are read in the context with the true ones."""
    frames = to_pictures(seen.pixels[:, :: world.temporal_stride])
    pictures = see_pictures(world, None, frames, seen.past, seen.times, seen.lens)
    assert pictures is not None
    assert seen.masks is not None
    read, true = pictures.subject > 0.5, seen.masks > 0.5
    return float((read & true).sum() / (read | true).sum()) if bool((read | true).any()) else None


def against_first(values: Mapping[str, Any], name: str, metric: str) -> dict[str, Any] | None:
    """Pair a row's values with the first row's, where that has such."""
    first = values[FOUND[0]].get(metric)
    if first is None or name == FOUND[0]:
        return None
    return asdict(paired_difference(values[name][metric], first))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument(
        "--videos", type=Path, help="an empty folder for videos, in which subjects are then found"
    )
    add_out(parser)
    args = parser.parse_args()
    world = WorldModel.from_pretrained(args.model, dtype=torch.float32)
    values: dict[str, dict[str, list[float | None]]] = defaultdict(lambda: defaultdict(list))
    entries = open_dataset(args.data, args.split).entries[: args.clips]
    for index, entry in enumerate(entries):
        seen = Seen(world, entry.read())
        ways = in_every_way(world, seen)
        judgements = {name: judged(rendered, seen.clip) for name, rendered in ways.items()}
        for name, metrics in (judgements | {"read masks": {"mask_iou": read_iou(world, seen)}}).items():
            for metric, value in metrics.items():
                values[name][metric].append(value)
        if args.videos:
            write_videos(ways, seen.clip, entry.name, args.videos)
        print(f"clip {index + 1} of {len(entries)}", flush=True)
    figures: dict[str, Any] = {
        name: {
            metric: asdict(summarise(each)) | {"difference": against_first(values, name, metric)}
            for metric, each in metrics.items()
        }
        for name, metrics in values.items()
    }
    if args.videos:
        for name, metrics in found_in(args.videos, args).items():
            figures[name] |= metrics
    config = {"model": args.model, "split": args.split, "clips": len(entries)}
    finish("render_limits", "What keeps rendered memory from the truth?", config, figures, args.out)


if __name__ == "__main__":
    main()
