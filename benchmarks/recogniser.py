"""How well does the recogniser see clips it never learned from?

    outofsight world build --out clips --clips 64 --seed 5 --splits 0,1 --size 64x96
    python benchmarks/recogniser.py clips --model mini

Masks, detections, kinds, and who comes back, by group of clips (those of held-out scenes, of held-out subjects, the
others), as rendered, spoiled as in training, and, with ``--vae FOLDER``, after a video VAE's round trip.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from outofsight.data.dataset import Dataset, open_dataset
from outofsight.perception.network import num_parameters
from outofsight.perception.recogniser import Recogniser
from outofsight.training.models import load_vae
from outofsight.training.recogniser_training import ClipFigures, answers_on, augmented_video, figures_of
from outofsight.training.task import to_frames
from outofsight.training.tasks import Augmentation, RecogniserTask
from outofsight.training.vae_training import to_signal
from outofsight.types import Clip
from record import add_out, finish

QUESTION = "masks, detections, kinds and identities of the recogniser on clips it never learned from"
Spoil = Callable[[Clip], NDArray[np.uint8]]
COLOURS = np.array([[255, 70, 60], [70, 160, 255], [255, 210, 40]], dtype=np.float32)


def group_of(clip: Clip) -> str:
    """Name a clip's group by what of it was held out."""
    held_out = clip.extra.get("held_out", {})
    if held_out.get("subjects"):
        return "held-out subjects"
    return "held-out scenes" if held_out.get("scene") else "neither"


def through_vae(folder: str) -> Spoil:
    """Make the round trip of each half by itself, as latents are made."""
    vae = load_vae(folder)

    @torch.no_grad()
    def spoil(clip: Clip) -> NDArray[np.uint8]:
        halves = []
        for half in (clip.video[: clip.num_context_frames], clip.video[clip.num_context_frames :]):
            latents = vae.encode(to_signal(torch.from_numpy(half.copy())[None])).latent_dist.mode()
            halves.append(to_frames(vae.decode(latents).sample[0]))
        return np.concatenate(halves)

    return spoil


def look(
    recogniser: Recogniser, clips: Dataset, forms: dict[str, Spoil]
) -> dict[str, dict[str, list[ClipFigures]]]:
    """Count on all clips in every form; figures by form and group."""
    task = RecogniserTask(kinds=recogniser.kinds)
    counted: dict[str, dict[str, list[ClipFigures]]] = {form: {} for form in forms}
    for clip in track(clips, description="clips", total=len(clips), console=Console(stderr=True)):
        for form, spoil in forms.items():
            counted[form].setdefault(group_of(clip), []).append(
                answers_on(recogniser, clip, task, spoil(clip))
            )
    return counted


def table(counted: dict[str, dict[str, list[ClipFigures]]]) -> dict[str, Any]:
    """Print one line for each form and group, and return the figures."""
    names = (
        "iou",
        "found",
        "kind_accuracy",
        "false_per_frame",
        "identity_accuracy",
        "identity_accuracy_in_kind",
    )
    print(f"{'form':10} {'clips':18} {'n':>4} " + " ".join(f"{name:>25}" for name in names))
    reported: dict[str, Any] = {}
    for form, groups in counted.items():
        everyone = [clip for clips in groups.values() for clip in clips]
        for group, clips in {"all": everyone, **groups}.items():
            figures = figures_of(clips)
            reported[f"{form}, {group}"] = {
                name: None if np.isnan(v) else round(v, 4) for name, v in figures.items()
            }
            print(
                f"{form:10} {group:18} {len(clips):4} " + " ".join(f"{figures[name]:25.3f}" for name in names)
            )
    return reported


def seconds_a_frame(recogniser: Recogniser, height: int, width: int) -> float:
    """Time detection on frames of noise and of nothing: the network, and its masks' parts."""
    frames = np.zeros((64, height, width, 3), dtype=np.uint8)
    recogniser.detect(frames[:8])
    begun = time.perf_counter()
    recogniser.detect(frames)
    return (time.perf_counter() - begun) / len(frames)


def sheet(
    recogniser: Recogniser, clips: Dataset, spoil: Spoil, num_clips: int = 12, num_frames: int = 8
) -> Image.Image:
    """Draw some clips, two rows each: frames, and what was found in them, a colour for each subject in a frame."""
    rows = []
    for place in np.linspace(0, len(clips) - 1, num_clips).astype(int).tolist():
        clip = clips[place]
        video = spoil(clip)[np.linspace(0, len(clip.video) - 1, num_frames).astype(int)]
        drawn = video.astype(np.float32)
        for frame, found in enumerate(recogniser.detect(video)):
            for number, one in enumerate(found):
                drawn[frame][one.mask] = 0.35 * drawn[frame][one.mask] + 0.65 * COLOURS[number % len(COLOURS)]
        rows += [np.concatenate(list(video), axis=1), np.concatenate(list(drawn.astype(np.uint8)), axis=1)]
    return Image.fromarray(np.concatenate(rows))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path)
    parser.add_argument("--split", default=None)
    parser.add_argument("--limit", type=int, default=None, help="first so many clips")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--vae", default=None)
    parser.add_argument("--sheet", type=Path, default=None, help="draw a contact sheet here")
    add_out(parser)
    arguments = parser.parse_args()
    recogniser = Recogniser.from_pretrained(arguments.model)
    clips = open_dataset(arguments.clips, arguments.split)[: arguments.limit]
    augmentation = Augmentation()
    forms: dict[str, Spoil] = {
        "rendered": lambda clip: clip.video,
        "spoiled": lambda clip: augmented_video(clip.video, clip.name, augmentation),
    }
    if arguments.vae:
        forms["vae"] = through_vae(arguments.vae)
    if arguments.sheet:
        sheet(recogniser, clips, forms["vae" if arguments.vae else "rendered"]).save(
            arguments.sheet, optimize=True
        )
    figures = table(look(recogniser, clips, forms))
    timing = {
        f"{h}x{w}": round(1000 * seconds_a_frame(recogniser, h, w), 2) for h, w in ((64, 96), (96, 160))
    }
    print(f"milliseconds a frame on {torch.get_num_threads()} thread(s): {timing}")
    result = {
        "parameters": num_parameters(recogniser.network),
        "milliseconds_a_frame": timing,
        "figures": figures,
    }
    config = {
        name: str(value) for name, value in vars(arguments).items() if name != "out" and value is not None
    }
    finish("recogniser", QUESTION, config, result, arguments.out)


if __name__ == "__main__":
    main()
