"""The most bytes that tensors hold at once, counted on torch's meta device: nothing is computed."""

import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint


def peak_bytes(run: Callable[[], Any]) -> int:
    """Return the most bytes that tensors made by ``run`` hold at once. Attention is taken to be fused."""
    with torch.no_grad():
        return peak_bytes_with_gradients(run)


def peak_bytes_with_gradients(run: Callable[[], Any]) -> int:
    """As ``peak_bytes``, with all that a backward needs."""
    with _LiveBytes() as live, _FusedKernels():
        run()
    return live.peak


def checkpointed(function: Callable[..., Any], *args: Any) -> Any:
    """Gradient checkpointing whose second forward is counted as the first: a backward sets function modes aside."""
    contexts = lambda: (nullcontext(), _FusedKernels())  # noqa: E731
    return checkpoint(function, *args, use_reentrant=False, context_fn=contexts)


def shape_of(network: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """Give a meta-device network the dtypes that ``from_pretrained(dtype=dtype)`` would give it."""
    wide = set(getattr(network, "_keep_in_fp32_modules", None) or ())
    for name, parameter in network.named_parameters():
        if parameter.is_floating_point():
            kept = dtype == torch.float32 or wide & set(name.split("."))
            parameter.data = parameter.data.to(torch.float32 if kept else dtype)
    return network


class _LiveBytes(TorchDispatchMode):
    """Adds up the storages that operations make, until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self._sizes: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(
                leaf, Tensor
            ):  # what was there before, weights above all: a view of it is nothing new
                self._sizes.setdefault(leaf.untyped_storage(), 0)
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._add(leaf.untyped_storage())
        return out

    def _add(self, storage: Any) -> None:
        if storage in self._sizes:
            return
        size = storage.nbytes()
        self._sizes[storage] = size
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self.now -= size


class _FusedKernels(TorchFunctionMode):
    """Lets attention and RMS norm hold what real devices' kernels do; meta takes them apart.

    Their output, what their backward needs, and attention's sums of exponentials: a number for each query and head.
    """

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            query, key, value = (
                *args,
                *(kwargs[name] for name in ("query", "key", "value") if name in kwargs),
            )[:3]
            return _Attention.apply(query, key, value)
        if func is functional.rms_norm:
            return _Norm.apply(args[0] if args else kwargs["input"])
        return func(*args, **kwargs)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        sums = query.new_empty(query.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, sums)
        return out

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.empty_like(part) for part in ctx.saved_tensors[:3])


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor) -> Tensor:
        ctx.save_for_backward(states)
        return torch.empty_like(states)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Tensor:
        return torch.empty_like(ctx.saved_tensors[0])
