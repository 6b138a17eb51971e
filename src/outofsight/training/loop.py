"""The training loop: one process or many, stopped and taken up again at any step with the same result."""

import importlib.util
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list
from torch import Tensor

from outofsight.data.video import write_video
from outofsight.errors import InputError, OutOfSightError
from outofsight.files import remove_unfinished
from outofsight.nn.precision import faster_in_bfloat16
from outofsight.training.batches import Batch, read_ahead
from outofsight.training.config import TrainConfig, changed
from outofsight.training.cpu_attention import MatmulAttention, uses_matmul_attention
from outofsight.training.memory_plan import check_step
from outofsight.training.optimiser import EMA, full_tensor, learning_rate, make_optimizers
from outofsight.training.pixel_training import pixel_task
from outofsight.training.randomness import derived_seed
from outofsight.training.recogniser_training import recogniser_task
from outofsight.training.run_folder import (
    EXPORT,
    STATES,
    VIDEOS,
    append_log,
    begin_run,
    cut_log,
    forget_run,
    go_on_run,
    read_run,
)
from outofsight.training.state import State, drop_old_states, load_latest_state, restore_run, save_run, shard
from outofsight.training.task import Task, to_device
from outofsight.training.vae_training import vae_task
from outofsight.training.world_training import world_task

TASK_MAKERS = {"vae": vae_task, "world": world_task, "recogniser": recogniser_task, "pixels": pixel_task}
Report = Callable[[int, Mapping[str, float]], None]
"""Called by the main process after every step with the steps done and figures of that step."""


class DivergedError(OutOfSightError):
    """The loss or its gradient is no longer a number; the last good state is kept."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """``finished``: all steps are done; otherwise the time was up or a stop was asked for."""

    out: Path
    step: int
    finished: bool
    loss: float | None
    broken: tuple[str, ...] = ()


def train(
    config: TrainConfig,
    data: Path,
    out: Path,
    *,
    resume: bool = False,
    max_minutes: float | None = None,
    provenance: Mapping[str, Any] | None = None,
    report: Report | None = None,
    stop: Callable[[], bool] | None = None,
) -> TrainResult:
    """Train, from the beginning or from the newest state, and export what was learned.

    ``max_minutes``: stop, save and export after so much time. ``stop``: asked after every step.

    Raises:
        InputError: settings, data or folder do not fit; ``CheckpointError`` for a damaged state.
        DivergedError: a loss that is not finite, with step and samples.
        OutputError: a state cannot be written; earlier ones are untouched.
    """
    deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    config = with_precision(config)
    task = TASK_MAKERS[config.task.kind](config, data)
    accelerator = make_accelerator(config, out, task.leaves_unused)
    if accelerator.device.type == "cuda":
        check_step(task, config, accelerator.num_processes, accelerator.device)
    state = _prepare_folder(accelerator, config, data, out, resume, provenance or {})
    run: Run | None = None

    def should_stop() -> bool:
        late = deadline is not None and time.monotonic() >= deadline
        return late or (stop is not None and stop())

    with warnings.catch_warnings():
        # Under autocast the norms get bfloat16 and keep float32 weights, as they should; torch remarks on it.
        warnings.filterwarnings("ignore", message="Mismatch dtype between input and weight")
        try:
            run = Run(accelerator, config, task, out, report)
            if state is not None:
                restore_run(run, state)
            finished = run.fit(should_stop, may_stop=deadline is not None or stop is not None)
        except BaseException:
            if accelerator.is_main_process and not resume and (run is None or not run.step):
                forget_run(out)  # no run came to be
            raise
        finally:
            accelerator.end_training()
    return TrainResult(out=out, step=run.step, finished=finished, loss=run.last_loss, broken=task.broken)


def with_precision(config: TrainConfig) -> TrainConfig:
    """Return the config with ``precision="auto"`` settled for this machine, as the run will keep it."""
    if config.batch.precision != "auto":
        return config
    measured = ["bf16" if faster_in_bfloat16(PartialState().device) else "no"]
    broadcast_object_list(measured)  # one precision for all processes
    return changed(config, {"batch.precision": measured[0]})


def make_accelerator(config: TrainConfig, out: Path, leaves_unused: bool) -> Accelerator:
    """Make accelerate's engine; how many processes, and DDP or FSDP2, is its own launcher's to say.

    Raises:
        InputError: a tracker that is not installed, or a batch that does not divide among processes and parts.
    """
    if config.tracker == "tensorboard" and not importlib.util.find_spec("tensorboard"):
        raise InputError(
            "tracker: tensorboard is not installed; pip install tensorboard, or --set tracker=null"
        )
    try:
        accelerator = Accelerator(
            mixed_precision=config.batch.precision,
            log_with=config.tracker,
            project_dir=str(out) if config.tracker else None,
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=leaves_unused)],
        )
    except ValueError as error:  # its state is the process's, and says so at length
        raise InputError(
            f"accelerate keeps one precision for a process; begin a new one ({error})"
        ) from error
    if config.batch.shard and config.validation.videos_every_steps:
        raise InputError(
            "batch.shard: sample videos are made by a whole model; --set validation.videos_every_steps=0, and generate "
            "from the export"
        )
    parts = accelerator.num_processes * config.batch.accumulation
    if config.batch.size % parts:
        raise InputError(
            f"batch.size {config.batch.size} does not divide among {accelerator.num_processes} processes × "
            f"batch.accumulation {config.batch.accumulation}; choose a multiple of {parts}"
        )
    return accelerator


def _prepare_folder(
    accelerator: Accelerator,
    config: TrainConfig,
    data: Path,
    out: Path,
    resume: bool,
    provenance: Mapping[str, Any],
) -> State | None:
    """Begin a run's folder, or read the newest state of the run that is there."""
    if not resume:
        if accelerator.is_main_process:
            begin_run(out, config, data, provenance)
        accelerator.wait_for_everyone()
        return None
    read_run(out)
    state = load_latest_state(out / STATES)
    if accelerator.is_main_process:
        step = state.step if state is not None else 0
        go_on_run(out, config, data, provenance, step)
        cut_log(out, step)
        # A kill may have come between the last state and the end of those before it.
        remove_unfinished(out / STATES)
        drop_old_states(out / STATES, config.state.keep)
    accelerator.wait_for_everyone()
    return state


class Run:
    """A run under way."""

    def __init__(
        self, accelerator: Accelerator, config: TrainConfig, task: Task, out: Path, report: Report | None
    ) -> None:
        self.accelerator, self.config, self.task = accelerator, config, task
        self.out, self.report = out, report
        self.step, self.samples_seen = 0, 0
        self.last_loss: float | None = None
        if config.batch.shard:
            self.model = shard(task.objective, accelerator)
            cut = dict(task.objective.named_parameters())
            made = make_optimizers({name: cut[name] for name in task.trainable}, config.optimisation)
            self.optimizers = [accelerator.prepare_optimizer(optimizer) for optimizer in made]
        else:
            made = make_optimizers(task.trainable, config.optimisation)
            self.model, *self.optimizers = accelerator.prepare(task.objective, *made)
        if config.batch.compile:
            # Cut at DDP's buckets, a graph fails where a batch's length is dynamic (torch 2.13: no attribute 'meta').
            torch._dynamo.config.optimize_ddp = False
            self.model.compile()
        named = dict(accelerator.unwrap_model(self.model).named_parameters())
        self.parameters = {name: named[name] for name in task.trainable}
        # Backward calls checkpointed blocks again without this way to compute attention, and would save other tensors.
        by_matmul = uses_matmul_attention(accelerator.device, config.batch.precision)
        self.matmul_attention = by_matmul and not config.batch.gradient_checkpointing
        self.mean = EMA(self.parameters, config.optimisation.ema_decay)
        if config.tracker:
            accelerator.init_trackers("training")

    def fit(self, should_stop: Callable[[], bool], *, may_stop: bool) -> bool:
        """Run to the end or until told to stop; save, and export. Returns whether all steps are done."""
        config, begun = self.config, self.step
        self.model.train()
        stopped = False
        batches = read_ahead(self.task.batches.make, self._jobs(), config.batch.prefetch)
        try:
            while self.step < config.num_steps and not stopped:
                figures = self._step(batches)
                self._log(figures)
                self._validate()
                stopped = may_stop and self._any_rank(should_stop())
                if self._due(config.state.every_steps) and not stopped and self.step < config.num_steps:
                    save_run(self)
        finally:
            batches.close()
        if self.step > begun:
            save_run(self)
        self.export()
        return self.step >= config.num_steps

    def _jobs(self) -> Iterator[tuple[int, list[int]]]:
        """Give this process's part of every step that is left, in ``accumulation`` parts."""
        position = self.samples_seen
        for step in range(self.step, self.config.num_steps):
            for part in range(self.config.batch.accumulation):
                yield step, self._positions(position, part, self.accelerator.process_index)
            position += self.config.batch.size

    def _positions(self, first: int, part: int, process: int) -> list[int]:
        """Tell which samples a process sees in a part of the step whose samples begin at ``first``."""
        processes = self.accelerator.num_processes
        size = self.config.batch.size // self.config.batch.accumulation // processes
        begin = first + (part * processes + process) * size
        return list(range(begin, begin + size))

    def _step(self, batches: Iterator[Batch]) -> dict[str, float]:
        """Take one step; returns its figures."""
        config, begun = self.config, time.perf_counter()
        rate = learning_rate(config.optimisation, self.step, config.num_steps)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        # Whatever draws by itself (dropout) draws the same when the run goes on from here.
        torch.manual_seed(derived_seed(config.seed, "step", self.step, self.accelerator.process_index))
        results = []
        for part in range(config.batch.accumulation):
            batch = to_device(next(batches), self.accelerator.device)
            last = part == config.batch.accumulation - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                with MatmulAttention() if self.matmul_attention else nullcontext():
                    result = self.model(batch)
                self.accelerator.backward(result["loss"].mean() / config.batch.accumulation)
            results.append({name: value.detach().float() for name, value in result.items()})
        figures = self._gathered(results)
        cut = self.accelerator.clip_grad_norm_(
            self.parameters.values(), config.optimisation.max_gradient_norm
        )
        norm = float(full_tensor(torch.as_tensor(cut)))
        if not isfinite(norm):
            self._diverged("gradient", None)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self.samples_seen += config.batch.size
        self.mean.update(self.parameters, self.step)
        speed = config.batch.size / (time.perf_counter() - begun)
        return figures | {"gradient_norm": norm, "learning_rate": rate, "samples_per_second": speed}

    def _gathered(self, results: list[dict[str, Tensor]]) -> dict[str, float]:
        """Mean over all samples of the step, of all processes; refuse what is not finite."""
        table = torch.stack([torch.cat([part[name] for part in results]) for name in results[0]], dim=1)
        whole_table = self.accelerator.gather(table).cpu()
        losses = whole_table[:, list(results[0]).index("loss")]
        if not losses.isfinite().all():
            self._diverged("loss", losses)
        return {name: float(column) for name, column in zip(results[0], whole_table.mean(dim=0), strict=True)}

    def _diverged(self, what: str, losses: Tensor | None) -> None:
        """Raise, naming the step and the samples whose loss is not finite (all of the step for a gradient)."""
        positions = [  # in the order in which processes were gathered: process, part, sample
            place
            for process in range(self.accelerator.num_processes)
            for part in range(self.config.batch.accumulation)
            for place in self._positions(self.samples_seen, part, process)
        ]
        if losses is not None:
            of_loss = zip(positions, losses.tolist(), strict=True)
            positions = [place for place, loss in of_loss if not isfinite(loss)]
        names = ", ".join(self.task.batches.names(positions[:8]))
        raise DivergedError(
            f"step {self.step}: the {what} is not finite, from samples {names}; the weights of the last state are kept "
            f"in {self.out / STATES}: look at these samples, or go on from there with --resume and a smaller "
            "optimisation.learning_rate"
        )

    def _log(self, figures: dict[str, float]) -> None:
        """Log a step's figures where it is due, and hand them on."""
        self.last_loss = figures["loss"]
        if not self.accelerator.is_main_process:
            return
        if self._due(self.config.log_every_steps) or self.step == self.config.num_steps:
            self._write(figures, {f"train/{name}": value for name, value in figures.items()})
        if self.report is not None:
            self.report(self.step, figures)

    def _write(self, figures: dict[str, float], tracked: dict[str, float]) -> None:
        append_log(self.out, {"step": self.step, **figures})
        self.accelerator.log(tracked, step=self.step)

    def _validate(self) -> None:
        """Validate and show samples where it is due, with the running mean of the weights."""
        settings, look = self.config.validation, self.task.look
        measures, shows = self._due(settings.every_steps), self._due(settings.videos_every_steps)
        if look is None or not (measures or shows):
            return
        self.model.eval()
        with torch.no_grad(), self.mean.in_place_of(self.parameters):
            if measures:
                self._tell_validation(look.measure(self.model, self.accelerator))
            for picture in look.show(self.model, self.accelerator) if shows else ():
                if self.accelerator.is_main_process:
                    folder = self.out / VIDEOS / f"step-{self.step:08d}"
                    folder.mkdir(parents=True, exist_ok=True)
                    write_video(folder / f"{picture.name}.mp4", picture.frames, picture.fps)
        self.model.train()

    def _tell_validation(self, figures: dict[str, float]) -> None:
        if self.accelerator.is_main_process:
            named = {f"validation/{name}": value for name, value in figures.items()}
            self._write(named, named)
            if self.report is not None:
                self.report(self.step, named)

    def _due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    def _any_rank(self, flag: bool) -> bool:
        """Tell whether any process wants to stop, so that all of them do."""
        flags = torch.tensor([float(flag)], device=self.accelerator.device)
        return bool(self.accelerator.reduce(flags, "sum").item())

    def export(self) -> None:
        """Write the model folder, with the running mean of the weights."""
        main = self.accelerator.is_main_process
        weights = {}
        for name, value in self.mean.means.items():
            gathered = full_tensor(value)  # all processes take part, one keeps it
            weights[name] = gathered.cpu() if main else gathered[:0]
        if main:
            self.task.export(weights, self.out / EXPORT, self.accelerator.device)
        self.accelerator.wait_for_everyone()
