"""The two-bank memory of a transformer: what it sees, what it retrieves, and what that is to its layers."""

from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from outofsight.backbone.extra_keys import BankContext, BankKeys
from outofsight.backbone.history_tokens import history_tokens, joined_history
from outofsight.backbone.rendered import RenderedMemory
from outofsight.backbone.sequence import Inputs, check_patches, known_intrinsics
from outofsight.codec.placement import bring_weights
from outofsight.errors import InputError
from outofsight.memory.banks.mask_reader import evidence, moved_shares
from outofsight.memory.banks.pictures import Pictures, joined, read_with_masks
from outofsight.memory.banks.state import Banks, RetrievedMemory, Views
from outofsight.memory.banks.two_banks import Observed, TwoBankMemory, latent_times
from outofsight.memory.rendering import Rendered, placed_subjects, render
from outofsight.memory.settings import read_bank_settings
from outofsight.nn.cameras import Lenses
from outofsight.nn.rope import describe_rays, rotary_at_places
from outofsight.types import LatentGrid

CPU = torch.device("cpu")
RETRIEVED_TIMESTEP = 600.0
"""Time step at which retrieved tokens pass through the blocks. They are clean, but so is the context, which the model
has learned to read at the time step of the noisy frames beside it: a middle one fits most of a denoising. With the
mini's weights, of which nothing was trained for banks, 0 gives a loss of 0.709, 300: 0.673, 600: 0.665, 800: 0.664,
950: 0.667 (archive alone; nothing retrieved: 0.768; 8 validation clips, 5 noise levels)."""


class BankRemembering:
    """What ``HydraTransformer3DModel`` can do where it has banks (``two_banks`` is ``None`` where it has not).

    A chunk is remembered in three steps: ``observe_context`` shows clean latents to the banks; ``retrieve_for`` asks
    them what matters for the coming cameras; ``memory_keys`` makes that into keys and values, which serve every
    denoising step. ``forward`` does all three where nothing is given. A model without banks raises ``InputError``.

    ``intrinsics``: normalised; ``None``: as configured.
    """

    config: Any
    dtype: Any
    rendered_memory: RenderedMemory | None
    patch_embedding: nn.Module
    two_banks: TwoBankMemory | None

    def resize_banks(self) -> None:
        """Make the banks anew by the configuration, with the weights that they have."""
        if self.two_banks is None:
            self.two_banks = _fresh_banks(self)
            return
        weights, mode = self.two_banks.state_dict(), self.two_banks.training
        some = next(self.two_banks.parameters())
        # Moved first: weights that only stand for some (meta) cannot be copied to real ones.
        made = two_bank_memory(self.config).to(some)
        made.load_state_dict(weights)
        self.two_banks = made.train(mode)

    @property
    def has_banks(self) -> bool:
        """Whether a two-bank memory is read beside the sequence."""
        return self.config["banks"] is not None

    def enable_group_offload(
        self,
        onload_device: torch.device,
        offload_device: torch.device = CPU,
        offload_type: str = "block_level",
        **more: Any,
    ) -> None:
        """Offload as diffusers does. Banks and what renders them are small and stay on ``onload_device``: they are
        asked outside ``forward``, where no hook would fetch their weights.

        Raises:
            InputError: groups of blocks, for a model with banks, whose tokens pass layers of a block from outside it.
        """
        if self.has_banks and offload_type != "leaf_level":
            raise InputError(
                f"enable_group_offload: expected offload_type 'leaf_level' for a model with banks, got {offload_type!r}"
            )
        stay = {name: getattr(self, name) for name in ("two_banks", "rendered_memory")}
        for name in stay:
            setattr(self, name, None)
        try:
            super().enable_group_offload(  # type: ignore[misc]  # diffusers' model, beside which this stands
                onload_device, offload_device, offload_type, **more
            )
        finally:
            for name, part in stay.items():
                setattr(self, name, part if part is None else part.to(onload_device))

    def observe_context(
        self,
        latents: Float[Tensor, "b channels f height width"],
        cameras: Float[Tensor, "b c 12"],
        times: Float[Tensor, "b c"] | None = None,
        banks: Banks | None = None,
        intrinsics: Lenses | None = None,
        pictures: Pictures | None = None,
    ) -> tuple[Banks, Observed]:
        """Let the two banks see clean latent frames, oldest first.

        ``latents``: those to be seen, at the end; frames before them (f − c; as many as ``two_banks.history`` where
        there are so many) were seen already and only help to read the new ones. ``cameras``: of the new frames, in the
        anchor frame. ``times``: in video frames; ``None`` where they begin a video. ``banks``: what is remembered so
        far; ``None``: nothing. ``pictures``: of the new frames, where memory is to be rendered; a model trained for it
        believes their masks on who is where.

        Raises:
            InputError: the shapes do not fit.
        """
        memory = self.needed_banks()
        bring_weights(self)
        check_patches(self.config, latents)
        batch, new = cameras.shape[:2]
        if batch != latents.shape[0] or not 0 < new <= latents.shape[2]:
            raise InputError(
                f"{latents.shape[2]} latent frames of {latents.shape[0]} videos, but {new} cameras of {batch}"
            )
        if times is None:
            times = latent_times(new, 0, latents.device)[0].expand(batch, -1)
        grid = self.picture_grid(latents)
        if banks is None:
            banks = memory.empty(batch, grid, latents.device)
        tokens = self.patch_embedding(latents[:, :, -new:].to(self.dtype)).flatten(3).permute(0, 2, 3, 1)
        lens = known_intrinsics(self.config, intrinsics, batch, latents.shape[-2:], latents.device)
        reading = memory.read(latents, new, lens)
        if pictures is not None and self.rendered_memory is not None:
            reading = read_with_masks(reading, pictures.subject)
        return memory.observe(
            banks, tokens, latents, cameras, times, lens, reading=reading, pictures=pictures
        )

    def retrieve_for(
        self,
        banks: Banks,
        cameras: Float[Tensor, "b t 12"],
        times: Float[Tensor, "b t"],
        grid: LatentGrid,
        history_frames: int,
        reach_frames: int | None = None,
        intrinsics: Lenses | None = None,
    ) -> RetrievedMemory:
        """Ask the two banks what matters for the coming frames: once a chunk, for all its denoising steps.

        ``cameras``, ``times``: of the coming latent frames, in the anchor frame and in video frames. ``grid``: rows
        and columns of tokens. ``history_frames``: latent frames that go before them in the sequence. ``reach_frames``:
        how many latent frames back the oldest memory is placed; ``None``: as many as go before.
        """
        reach = history_frames if reach_frames is None else reach_frames
        size = (grid.height, grid.width)
        intrinsics = known_intrinsics(self.config, intrinsics, len(cameras), size, cameras.device)
        retrieved = self.needed_banks().retrieve(banks, cameras, times, intrinsics, grid, reach)
        shift = retrieved.places.new_tensor([reach - history_frames, 0, 0])
        return retrieved._replace(places=retrieved.places - shift)

    def retrieve_for_context(
        self,
        context: Float[Tensor, "b channels c height width"],
        context_cameras: Float[Tensor, "b c 12"],
        target_cameras: Float[Tensor, "b t 12"],
        intrinsics: Lenses | None = None,
    ) -> RetrievedMemory:
        """Observe a whole clean context, and retrieve what matters for the target that follows it."""
        banks, _ = self.observe_context(context, context_cameras, intrinsics=intrinsics)
        frames, grid = context.shape[2], self.picture_grid(context)
        times = latent_times(frames, target_cameras.shape[1], context.device)[1].expand(len(context), -1)
        return self.retrieve_for(banks, target_cameras, times, grid, frames, intrinsics=intrinsics)

    def read_pictures(
        self,
        views: Views | None,
        frames: UInt8[Tensor, "b f 3 height width"],
        cameras: Float[Tensor, "b f 12"],
        times: Float[Tensor, "b f"],
        intrinsics: Lenses,
    ) -> Pictures:
        """Read who is a subject in new frames, with what ``views`` and the frames themselves say of each other.

        Raises:
            InputError: the model reads no masks; then they must be given.
        """
        reader = None if self.rendered_memory is None else self.rendered_memory.masks
        if reader is None and self.rendered_memory is not None:
            raise InputError(
                "this model does not read who is a subject (rendering.mask_width is 0); give subject_masks"
            )
        bring_weights(self)
        own = Views(
            pixels=frames,
            static=torch.full_like(frames[:, :, 0], 255),
            poses=cameras.float(),
            intrinsics=intrinsics[:, None].expand(-1, frames.shape[1], -1),
            times=times.float(),
            filled=torch.ones_like(times, dtype=torch.bool),
        )
        known = own if views is None else joined((views, own))
        testimony = evidence(known, frames, cameras, intrinsics, times)
        shares = moved_shares if reader is None else reader.shares
        return Pictures(frames, shares(testimony.flatten(0, 1)).unflatten(0, times.shape))

    def render(
        self,
        banks: Banks,
        cameras: Float[Tensor, "b t 12"],
        times: Float[Tensor, "b t"],
        intrinsics: Lenses,
        size: tuple[int, int],
        generator: torch.Generator | None = None,
    ) -> Rendered:
        """Draw what the banks hold as the coming video frames will see it.

        ``cameras``, ``times``: of every video frame, in the anchor frame; rising, after what was seen. ``size``: height
        and width. ``generator``: on the CPU; draws how far off the tracker's mean subjects are put up (``place_draw``).

        Raises:
            InputError: the banks were shown no pictures.
        """
        memory = self.needed_banks()
        if banks.views is None or banks.cutouts is None:
            raise InputError(
                "these banks keep no pictures, so nothing can be rendered; observe with pictures"
            )
        views = banks.views._replace(filled=banks.views.filled & banks.archive.filled)
        if memory.settings.rendered == "scenery":
            return render(views, cameras, intrinsics, size)
        predicted = memory.tracker.predict(banks.tracks, banks.time, times)
        placed = placed_subjects(predicted, memory.settings.place_draw, generator)
        return render(views, cameras, intrinsics, size, banks.cutouts, placed)

    def memory_keys(self, retrieved: RetrievedMemory, text: Float[Tensor, "b l text_dim"]) -> BankKeys:
        """Run retrieved tokens through the blocks once, at ``RETRIEVED_TIMESTEP``: every layer's keys and values.

        They see each other and the caption (``text``: its states), and nothing of the video, at one time step for all;
        so they are the same in every denoising step.

        Raises:
            InputError: retrieved for another number of videos than there are captions.
        """
        bring_weights(self)
        transformer: Any = self
        if len(retrieved.tokens) != len(text):
            raise InputError(
                f"the banks retrieved for {len(retrieved.tokens)} videos, but there are {len(text)} captions"
            )
        retrieved = known_part(retrieved)
        context = _bank_context(self.config, retrieved, text.dtype)
        timestep = torch.full((len(text),), RETRIEVED_TIMESTEP, device=text.device)
        _, time, text, _ = transformer.condition_embedder(timestep, text, None, timestep_seq_len=None)
        time = time.unflatten(1, (6, -1))
        states, keys, values = retrieved.tokens.to(text.dtype), [], []
        for block in transformer.blocks:
            states, key, value = transformer.checkpointed(_through, block, states, text, time, context)
            keys.append(key)
            values.append(value)
        return BankKeys(tuple(keys), tuple(values), retrieved.known)

    def needed_banks(self) -> TwoBankMemory:
        """Give the banks. Raises ``InputError`` where the model has none."""
        if self.two_banks is None or not self.has_banks:
            raise InputError(
                f"this model ({self.config['memory_strategy']}) has no banks; strategy hybrid is one that has"
            )
        return self.two_banks

    def picture_grid(self, latents: Tensor) -> LatentGrid:
        """Return the token grid of pictures of these latents' size."""
        _, rows, columns = self.config["patch_size"]
        height, width = latents.shape[-2] // rows, latents.shape[-1] // columns
        return LatentGrid(frames=latents.shape[2], height=height, width=width)

    def keys_of_banks(
        self, given: Inputs, text: Tensor, retrieved: RetrievedMemory | None, keys: BankKeys | None
    ) -> BankKeys | None:
        """Return the keys that are there, else make them, of what is retrieved, else of the whole context; and of
        rendered memory that is shown as history."""
        if keys is None and retrieved is None and not self.has_banks:
            return None
        retrieves = self.needed_banks().settings.top_k > 0
        if not retrieves and given.history is None:
            return None
        if keys is not None:
            return keys
        frames, ahead = given.grid.context_frames, given.target_cameras
        if not retrieves:
            retrieved = None
        elif retrieved is None:
            if not frames:
                return None  # nothing has been seen yet
            context = given.latents[:, :, :frames]
            retrieved = self.retrieve_for_context(context, given.context_cameras, ahead, given.intrinsics)
        if given.history is not None:
            shown = history_tokens(self, given.history, ahead, given.intrinsics, frames)
            retrieved = joined_history(retrieved, shown)
        return None if retrieved is None else self.memory_keys(retrieved, text)


def _fresh_banks(transformer: Any) -> TwoBankMemory:
    """Make banks for a model that has none, always the same: of them, only the views that they keep are used."""
    like = transformer.patch_embedding.weight
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = two_bank_memory(transformer.config)
    return made.to(like.device).train(transformer.training)


def two_bank_memory(config: Mapping[str, Any]) -> TwoBankMemory:
    """Make the banks that a transformer's configuration asks for.

    Raises:
        InputError: impossible settings, or none.
    """
    settings = read_bank_settings(config)
    if settings is None:
        raise InputError("this model has no banks; strategy hybrid is one that has")
    if config["subject_mask"] != "none":
        raise InputError("banks read the context by themselves: subject_mask must be 'none' beside them")
    return TwoBankMemory(
        settings,
        config["num_attention_heads"] * config["attention_head_dim"],
        config["in_channels"],
        tuple(config["patch_size"][1:]),
    )


def known_part(retrieved: RetrievedMemory) -> RetrievedMemory:
    """Leave out tokens that no video of the batch knows; one stays where none is known.

    All stay on the meta device, which cannot be asked.
    """
    if retrieved.known.device.type == "meta":
        return retrieved
    kept = retrieved.known.any(dim=0)
    kept[0] |= ~kept.any()
    chosen = kept.nonzero()[:, 0]
    tokens = {name: value[:, chosen] for name, value in retrieved.by_token().items()}
    return RetrievedMemory(**tokens, scores=retrieved.scores)


def _through(
    block: nn.Module, states: Tensor, text: Tensor, time: Tensor, context: BankContext
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the tokens after a block, and the keys and values that they had in it."""
    kept: deque[Tensor] = deque()
    states = block(states, text, time, context._replace(kept=kept))
    key, value = kept
    return states, key, value


def _bank_context(config: Mapping[str, Any], retrieved: RetrievedMemory, dtype: torch.dtype) -> BankContext:
    octaves = config["camera_ray_octaves"]
    rays = describe_rays(retrieved.directions, retrieved.moments, octaves).to(dtype) if octaves else None
    itself = torch.eye(retrieved.known.shape[1], dtype=torch.bool, device=retrieved.known.device)
    return BankContext(
        retrieved=retrieved,
        rotary=rotary_at_places(retrieved.places, config["attention_head_dim"]),
        rays=rays,
        # An unknown token is seen by itself alone, so that no softmax is over nothing.
        seen=(retrieved.known[:, None] | itself)[:, None],
        kept=deque(),
    )
