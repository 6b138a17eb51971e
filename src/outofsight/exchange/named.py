"""The benchmarks by name."""

from outofsight.errors import InputError
from outofsight.exchange.case import Benchmark
from outofsight.exchange.memobench import MEMOBENCH
from outofsight.exchange.mind import MIND
from outofsight.exchange.stevo import STEVO
from outofsight.exchange.wrbench import WRBENCH

BENCHMARKS = {one.name: one for one in (WRBENCH, MIND, MEMOBENCH, STEVO)}


def benchmark(name: str) -> Benchmark:
    """Look a benchmark up. Raises ``InputError`` naming those there are."""
    if name not in BENCHMARKS:
        raise InputError(f"unknown benchmark {name!r}; known are {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
