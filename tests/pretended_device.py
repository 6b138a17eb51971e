"""A pretended accelerator: its tensors lie in main memory and say that they lie on ``pretend:0``.

Numbers are real, so control flow works and results can be compared to the bit; but tensors of the two places must not
meet in one operation, none of the pretended ones becomes numpy, and none is drawn by a CPU generator: what a real
accelerator refuses is refused here. (FakeTensorMode cannot follow memory whose control flow depends on numbers.)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

NAME = "pretend"

FREE_TO_MIX = ("aten::_to_copy", "aten::copy_", "aten::copy")
FREE_INDICES = ("aten::index", "aten::index_put", "aten::index_put_")
"""An accelerator's tensor may be indexed by a CPU's, not the other way round."""


class MixedDevices(RuntimeError):
    """What a real accelerator would have refused."""


class _Backend(_DummyBackendModule):
    """What torch and diffusers ask of a device's module."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16, torch.float32]

    def get_rng_state(self, device: object = None) -> torch.Tensor:
        return torch.empty(0, dtype=torch.uint8)

    def set_rng_state(self, state: torch.Tensor, device: object = None) -> None:
        pass

    def empty_cache(self) -> None:
        pass

    def synchronize(self, device: object = None) -> None:
        pass


class Pretended(torch.Tensor):
    """A tensor that says it lies elsewhere."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor, requires_grad: bool | None = None) -> torch.Tensor:
        if requires_grad is not None:  # accelerate makes a parameter anew by the class of the one before
            return torch.nn.Parameter(inner, requires_grad=requires_grad)
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(),
            dtype=inner.dtype, device=f"{NAME}:0",
        )  # fmt: skip
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _run(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.inner.detach().tolist()

    def numpy(self, **_: Any) -> Any:
        raise MixedDevices("a tensor on an accelerator becomes no numpy array; call cpu() first")

    __array__ = numpy


def _run(func: Any, args: tuple, kwargs: dict) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, Pretended)]
    name = func._schema.name
    if there and name not in FREE_TO_MIX:
        _refuse_mixture(name, args, kwargs)
    asked = kwargs.get("device")
    goes_there = bool(there) if asked is None else torch.device(asked).type == NAME
    if asked is not None and goes_there:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    drawn = kwargs.get("generator")
    if goes_there and drawn is not None and drawn.device.type == "cpu":
        raise MixedDevices(f"{name}: a CPU generator draws no tensor of an accelerator")
    out = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    if name.endswith("_"):
        return args[0]
    return tree_map(lambda x: Pretended(x) if isinstance(x, torch.Tensor) else x, out) if goes_there else out


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, Pretended) else value


def _refuse_mixture(name: str, args: tuple, kwargs: dict) -> None:
    checked: Any = (args, kwargs)
    if name in FREE_INDICES and isinstance(args[0], Pretended):
        checked = (args[0], args[2:3])
    strangers = [
        leaf
        for leaf in tree_leaves(checked)
        if isinstance(leaf, torch.Tensor) and not isinstance(leaf, Pretended) and leaf.ndim
    ]
    if strangers:
        raise MixedDevices(f"{name}: tensors of {NAME}:0 and cpu {list(strangers[0].shape)} meet")


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _run(func, args, kwargs or {})


class _MadeOnTheCpu(TorchFunctionMode):
    """Lets what is made of Python's numbers be made on the CPU and moved: torch makes it past every dispatch mode; and
    lets ``data`` be set to a tensor of the other place, as a real device does."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if func == torch.Tensor.data.__set__ and isinstance(args[0], Pretended) != isinstance(
            args[1], Pretended
        ):
            # torch lets no wrapper take the place of a plain tensor, but does let the two change places
            value = args[1].detach()
            if isinstance(args[0], torch.nn.Parameter):
                value = torch.nn.Parameter(value, requires_grad=args[0].requires_grad)
            torch.utils.swap_tensors(args[0], value)
            return None
        if func not in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor):
            return func(*args, **kwargs)
        device = kwargs.pop("device", args[0].device if func is torch.Tensor.new_tensor else None)
        if func is torch.Tensor.new_tensor:
            func, args, kwargs = torch.tensor, args[1:], {"dtype": args[0].dtype, **kwargs}
        elif func is torch.as_tensor and isinstance(args[0], Pretended):
            return args[0].to(device or args[0].device, kwargs.get("dtype"))
        made = func(*args, **kwargs)
        return made if device is None else made.to(device)


_setup_privateuseone_for_python_backend(NAME, backend_module=_Backend())
"""Before any gradient is computed: the first one counts the devices, once for the process."""


@contextmanager
def pretended() -> Iterator[torch.device]:
    """Let there be an accelerator; gives its device."""
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)  # a moved parameter is still the optimizer's
    try:
        with _MadeOnTheCpu(), _Mode():
            yield torch.device(f"{NAME}:0")
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swaps)


def assert_there(tensors: Any) -> None:
    """Every tensor of a nest lies on the pretended device."""
    for tensor in tree_leaves(tensors):
        if isinstance(tensor, torch.Tensor):
            assert isinstance(tensor, Pretended), tuple(tensor.shape)
