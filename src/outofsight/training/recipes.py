"""Recipes: what to train, as functions. Each says hardware, time, and what was measured."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from outofsight.errors import InputError
from outofsight.plugins import import_plugin
from outofsight.training.config import (
    Batch,
    Optimisation,
    StateFiles,
    TrainConfig,
    Validation,
    changed,
    with_strategy,
)
from outofsight.training.tasks import (
    Chunks,
    LoraSize,
    MemoryLosses,
    PatchSize,
    PixelTask,
    RecogniserTask,
    VaeSize,
    VaeTask,
    WorldSize,
    WorldTask,
)

PAPER_TRAINABLE = ("transformer.blocks.*.attn1.*",)
"""Camera encoders, projector and self-attention with its tokenizer: all that the paper trains lies on ``attn1``."""

SMALL = Optimisation(learning_rate=1e-3, betas=(0.9, 0.99), ema_decay=0.99)
"""For models of a few million parameters that begin at random."""
MUON = replace(SMALL, optimizer="muon", warmup_steps=20)
"""For training a small model on."""
HEADS = replace(SMALL, learning_rate=2e-3, weight_decay=0.05, max_gradient_norm=5.0)
"""For networks of a million parameters that look at pixels."""
PAPER = Optimisation(learning_rate=1e-5, ema_decay=0.0)
ON_CPU = StateFiles(every_steps=50, export_dtype="bfloat16")
ON_GPU = StateFiles(every_steps=1000, export_dtype="bfloat16")
BIG_BATCH = Batch(size=32, precision="bf16", gradient_checkpointing=True)
FINETUNED = Validation(every_steps=500, num_samples=16, videos_every_steps=1000)
FULL_RESOLUTION: dict[str, Any] = {"memory_kernel": [1, 1, 1], "memory_top_k": 8, "memory_source": "context"}
"""Slices are context frames at full resolution, of which a frame retrieves 8."""


def mini_vae() -> TrainConfig:
    """Train the mini's video VAE: residual form, 2.7 million parameters, 96×160, clips of 17 frames.

    Hardware: one GPU with 24 GB or more, bf16. Time: not yet measured. Result: not yet measured.
    The plain form: ``--set task.size.is_residual=false task.size.base_dim=16`` (2.6 million parameters). In a first
    trial on CPU at 64×112 the residual form was 3 dB better after 7.5 minutes (crops and rates differed).
    """
    return TrainConfig(
        recipe="mini_vae",
        task=VaeTask(size=VaeSize(base_dim=32, is_residual=True)),
        num_steps=20_000,
        optimisation=replace(SMALL, warmup_steps=200, cooldown_steps=4000, ema_decay=0.999),
        batch=Batch(size=32, precision="bf16", prefetch=8),
        state=ON_GPU,
    )


def mini_world() -> TrainConfig:
    """Train the mini: 6.7 million parameters, 8 layers of width 192, with its byte-reading text encoder (0.4 million).

    Name its VAE: ``--set task.vae=FOLDER`` (the export of ``mini_vae``, by which the cache was made).
    Hardware: one GPU with 80 GB or more, bf16. Time: not yet measured. Result: not yet measured.
    Before going on for long, see that ``validation/camera_gain`` in the log is clearly above 0.
    """
    return TrainConfig(
        recipe="mini_world",
        task=WorldTask(size=WorldSize()),
        num_steps=100_000,
        optimisation=replace(SMALL, warmup_steps=1000, cooldown_steps=20_000, ema_decay=0.9995),
        batch=Batch(size=64, precision="bf16", prefetch=8),
        validation=Validation(every_steps=1000, num_samples=64, videos_every_steps=5000, num_videos=4),
        state=ON_GPU,
    )


def laptop_vae() -> TrainConfig:
    """Train the bundled mini's autoencoder on a CPU: blocks of 4×8×8, 2.3 million parameters, whole 64×96 pictures.

    Hardware: two CPU cores, bf16. Time: 21 minutes of steps, most of them beside other work. Measured after 1,800 steps
    on 16 validation clips: 25.3 dB, 21.2 dB on subjects (principal components alone, on training clips: 23.9 dB; Wan's
    residual form of ``mini_vae`` after 1,250 steps in 25 minutes beside other work: 21.7 and 17.6 dB). The measured run
    was given other rates on its way (see the mini's card).
    """
    return TrainConfig(
        recipe="laptop_vae",
        task=VaeTask(patch=PatchSize(), single_frame_share=0.1, whitening=0.5, clips_in_memory=600),
        num_steps=1800,
        optimisation=replace(SMALL, learning_rate=1.2e-3, warmup_steps=50, cooldown_steps=600),
        batch=Batch(size=8, precision="auto"),
        validation=Validation(every_steps=100, num_samples=16),
        state=replace(ON_CPU, every_steps=200),
    )


def laptop_world() -> TrainConfig:
    """Train the bundled mini on a CPU: 5 million parameters, 8 layers of width 192, 41 + 41 frames of 64×96.

    Name its autoencoder: ``--set task.vae=FOLDER`` (the export of ``laptop_vae``, by which the cache was made).
    Hardware: two CPU cores, bf16. Time: 40 minutes of steps. Measured after 2,700 steps on 192 unseen clips: 20.9 dB
    (frozen 15.5), 13.7 dB on subjects (11.3); ``validation/camera_gain`` 0.81, and still growing. The measured run's
    cool-down was moved twice on its way (see the mini's card).
    Memory is of context frames at full resolution (6 × 4 tokens each), of which a frame retrieves 8 of 11.
    """
    size = WorldSize(
        num_heads=4, head_dim=48, ffn_dim=512, start_by_likeness=True, shift=3.0, **FULL_RESOLUTION
    )
    return TrainConfig(
        recipe="laptop_world",
        task=WorldTask(size=size, weighting="none", subject_weight=2.0),
        num_steps=2700,
        optimisation=replace(SMALL, warmup_steps=50, cooldown_steps=1100, ema_decay=0.998),
        batch=Batch(size=4, precision="auto"),
        validation=Validation(every_steps=250, num_samples=16, videos_every_steps=1000, num_videos=4),
        state=replace(ON_CPU, every_steps=250),
    )


def laptop_world_on() -> TrainConfig:
    """Train on from ``laptop_world``: more clips, each mirrored too, and Muon; subjects count more.

    Name what to go on from: ``--set task.initial=FOLDER``. Hardware: two CPU cores, bf16, a process each
    (docs/training.md). Time: 104 minutes of steps, the first 70 on one core; ``--set batch.compile=true``, where there
    is a C++ compiler, saves some. Measured: four runs of 571, 578, 653 and 1,861 steps, on 525, 1,122, 1,122 and 1,530
    clips, each mirrored too, the third begun after ``laptop_hybrid``; ``validation/loss`` 0.270 at the end, with the
    rate still at its full height, ``validation/camera_gain`` 1.80, both still getting better.
    """
    return TrainConfig(
        recipe="laptop_world_on",
        task=WorldTask(weighting="none", subject_weight=4.0),
        num_steps=3660,
        optimisation=MUON,
        batch=Batch(size=8, precision="auto"),
        validation=Validation(every_steps=200, num_samples=32, videos_every_steps=0),
        state=replace(ON_CPU, every_steps=100),
    )


def laptop_banks() -> TrainConfig:
    """Train the two banks of strategy ``hybrid`` alone beside a small model, whose other weights stay as they are.

    Nothing is generated: the banks see whole clips as they truly are, so a sample costs a small part of the flow's.
    Go on with ``laptop_hybrid``. Hardware: one CPU core. Time: 25 minutes of steps. Measured on 1,122 clips, each
    mirrored too, and 96 validation clips (docs/training.md): at their return, predicted from the context, subjects are
    2.4 m off, where standing still at the true last place is 2.7 m off.
    """
    config = TrainConfig(
        recipe="laptop_banks",
        task=WorldTask(
            initial="mini",
            trainable=("transformer.two_banks.*",),
            caption_dropout=0.0,
            memory_losses=MemoryLosses(split=2.0, reading=1.0, state=1.0, identity=0.2, background=0.5),
            flow_weight=0.0,
        ),
        num_steps=1200,
        log_every_steps=10,
        optimisation=replace(SMALL, learning_rate=2e-3, warmup_steps=50, cooldown_steps=600),
        batch=Batch(size=16),
        validation=Validation(every_steps=150, num_samples=96, videos_every_steps=0),
        state=replace(ON_CPU, every_steps=250),
    )
    return with_strategy(config, "hybrid")


def laptop_hybrid() -> TrainConfig:
    """Train flow and banks together, the target unrolled in chunks: the bundled mini, ``hybrid+hydra``.

    Name what to go on from: ``--set task.initial=FOLDER`` (of ``laptop_world_on``) and ``task.banks=FOLDER`` (of
    ``laptop_banks``). Hardware: two CPU cores, bf16, a process each (docs/training.md). Time: 47 minutes of steps,
    partly on one core, and 23 more for a second run of 310 steps that ended a longer ``laptop_world_on``. Measured: the
    bundled mini's card, and docs/two_banks.md.
    """
    config = TrainConfig(
        recipe="laptop_hybrid",
        task=WorldTask(
            weighting="none",
            subject_weight=4.0,
            memory_losses=MemoryLosses(split=0.1, reading=0.1, state=0.1, identity=0.02, background=0.05),
            chunks=Chunks(sizes=((11,), (4, 4, 3), (6, 5))),
        ),
        num_steps=520,
        optimisation=replace(MUON, cooldown_steps=330),
        batch=Batch(size=8, precision="auto"),
        validation=Validation(every_steps=150, num_samples=32, videos_every_steps=0),
        state=ON_CPU,
    )
    return _hybrid(config, FULL_RESOLUTION)


def laptop_rendered() -> TrainConfig:
    """Train a world model with two banks on rendered memory: condition, gate and all else, ``hybrid+hydra``.

    Name what to go on from: ``--set task.initial=FOLDER`` (an export of ``laptop_pixels``); the cache must hold
    rendered memory (``outofsight data encode --rendered 1``). Noise levels of samples that are shown it are lowered,
    since sampling begins from the noised render. Hardware: two CPU cores. Time: 46 minutes of steps on one busy core,
    float32, for two runs of 150 and 200 steps on 539 clips, each mirrored too, the second with the banks of a
    ``laptop_banks`` of 600 steps (``task.banks``). Measured: ``validation/loss`` 0.218 after 250 steps (0.270 before),
    and the bundled mini's card.
    """
    config = TrainConfig(
        recipe="laptop_rendered",
        task=WorldTask(
            weighting="none",
            subject_weight=4.0,
            rendered_strength=0.7,
            gate_strength=0.5,
            # The flow alone spoils what the tracker was taught: it puts subjects where they help nobody.
            frozen=("transformer.two_banks.*",),
        ),
        num_steps=1500,
        optimisation=replace(MUON, cooldown_steps=500),
        batch=Batch(size=8, precision="auto"),
        validation=Validation(every_steps=150, num_samples=32, videos_every_steps=0),
        state=ON_CPU,
    )
    return _hybrid(config, FULL_RESOLUTION | {"rendering": {}})


def _hybrid(config: TrainConfig, memory: Mapping[str, Any]) -> TrainConfig:
    """Remember by ``hybrid+hydra`` with some settings of its memory changed."""
    config = with_strategy(config, "hybrid+hydra")
    return changed(config, {f"task.memory.{name}": value for name, value in memory.items()})


def finetune_rendered() -> TrainConfig:
    """Fine-tune a Wan or HyDRA model to be shown rendered memory: what ``finetune_hydra`` trains, and the new parts.

    Name the model: ``--set task.initial=FOLDER``. The cache must hold rendered memory (``data encode --rendered 1``,
    which renders with true masks where the model reads none). Time and result: not yet measured.
    """
    config = TrainConfig(
        recipe="finetune_rendered",
        task=WorldTask(trainable=PAPER_TRAINABLE, rendered_strength=0.8, gate_strength=0.3),
        num_steps=10_000,
        optimisation=PAPER,
        batch=BIG_BATCH,
        validation=FINETUNED,
    )
    return _hybrid(config, {"rendering": {"mask_width": 0}})


def finetune_hydra() -> TrainConfig:
    """Fine-tune as the paper does: camera encoders, projector and self-attention, the rest frozen.

    Name the model: ``--set task.initial=FOLDER`` (a Wan 1.3B or HyDRA folder made by ``outofsight convert``).
    Source: HyDRA: 10,000 steps of batch 32 on 32 GPUs, AdamW at 1e-5. Time and result here: not yet measured.
    """
    return TrainConfig(
        recipe="finetune_hydra",
        task=WorldTask(trainable=PAPER_TRAINABLE),
        num_steps=10_000,
        optimisation=PAPER,
        batch=BIG_BATCH,
        validation=FINETUNED,
    )


def finetune_lora() -> TrainConfig:
    """Fine-tune low-rank additions to self-attention, and the camera encoders and projector in full.

    Name the model: ``--set task.initial=FOLDER``. Hardware: one GPU with 80 GB for 1.3B parameters at 480×832 is
    the aim. Time and result: not yet measured.
    """
    return TrainConfig(
        recipe="finetune_lora",
        task=WorldTask(trainable=("*_camera_encoder.*", "*.projector.*"), lora=LoraSize(rank=32, alpha=32)),
        num_steps=5000,
        optimisation=replace(PAPER, learning_rate=1e-4, warmup_steps=100),
        batch=replace(BIG_BATCH, size=8, accumulation=8),
        validation=FINETUNED,
    )


def mini_recogniser() -> TrainConfig:
    """Train the recogniser: 0.95 million parameters, on single frames; detector and feature network of our worlds.

    Hardware: one CPU core. Time: 7 minutes of processor time for 2600 steps at 64×96. Measured on 640 clips at step
    2000: IoU 0.66, kind right 0.84, known again 0.78 on 32 validation clips; see the card in ``perception/weights``.
    """
    return TrainConfig(
        recipe="mini_recogniser",
        task=RecogniserTask(),
        num_steps=3000,
        optimisation=replace(HEADS, warmup_steps=100, cooldown_steps=1500),
        batch=Batch(size=10),
        validation=Validation(every_steps=1000, num_samples=32, videos_every_steps=3000),
        state=StateFiles(every_steps=500, export_dtype="float16"),
    )


def laptop_pixels() -> TrainConfig:
    """Train who is a subject (the mask reader), and what of a render reaches the decoded picture (the skip).

    Name the world model: ``--set task.initial=FOLDER``. Hardware: one CPU core, float32. Time: 9 minutes of steps.
    Measured by AdamW on 390 clips of preset ``mini_wide``, 16 validation clips, before ``task.agreed_share``: windows
    of the target decoded at 29.4 dB with the skip and 26.2 without. The bundled mini's skip then learned on for 300
    steps.
    """
    return TrainConfig(
        recipe="laptop_pixels",
        task=PixelTask(),
        num_steps=500,
        optimisation=replace(HEADS, optimizer="muon", warmup_steps=30, cooldown_steps=300, ema_decay=0.98),
        batch=Batch(size=4),
        validation=Validation(every_steps=100, num_samples=16, videos_every_steps=0),
        state=ON_CPU,
    )


def laptop_masks() -> TrainConfig:
    """Train who is a subject alone, for longer: the bundled mini's mask reader.

    Name the world model: ``--set task.initial=FOLDER``. Hardware: two CPU cores, float32. Time: half an hour of steps.
    Measured on 1,309 clips of preset ``mini_wide``: IoU 0.76 on 100 of their validation clips, 0.80 on 192 clips of
    preset ``mini``; 7,000 steps more on 3,014 clips: 0.78 and 0.82 (0.79 in held-out scenes).
    """
    pixels = laptop_pixels()
    return replace(
        pixels,
        recipe="laptop_masks",
        task=PixelTask(skip_weight=0, clips_in_memory=4000),
        num_steps=7600,
        optimisation=replace(pixels.optimisation, warmup_steps=100, cooldown_steps=4300, ema_decay=0.998),
        validation=Validation(every_steps=1000, num_samples=60, videos_every_steps=0),
        state=replace(ON_CPU, every_steps=1000),
    )


RECIPES: dict[str, Callable[[], TrainConfig]] = {
    made.__name__: made
    for made in (
        mini_vae, mini_world, laptop_vae, laptop_world, laptop_world_on, laptop_banks, laptop_hybrid, laptop_pixels,
        laptop_masks, laptop_rendered, mini_recogniser, finetune_hydra, finetune_lora, finetune_rendered,
    )
}  # fmt: skip


def recipe(name: str) -> TrainConfig:
    """Return a recipe's configuration. ``MODULE:NAME`` is a function of one's own, in a module that is imported.

    Raises:
        InputError: there is no such recipe, with those that there are; or no such module or function.
    """
    module, _, own = name.rpartition(":")
    if module:
        found: Callable[[], TrainConfig] | None = getattr(
            import_plugin(module, f"--recipe {name}"), own, None
        )
        if found is None:
            raise InputError(f"--recipe {name}: expected a function {own} in the module {module}")
        return found()
    if name not in RECIPES:
        raise InputError(f"unknown recipe {name!r}; known are {', '.join(RECIPES)}")
    return RECIPES[name]()
