"""Others' benchmarks: cases read, results written in the layout that their evaluation expects, and read again."""

from outofsight.errors import InputError
from outofsight.exchange.case import Benchmark
from outofsight.exchange.memobench import MemoBenchmark
from outofsight.exchange.mind import MindBenchmark
from outofsight.exchange.stevo import StevoBenchmark
from outofsight.exchange.wrbench import WRBenchmark

BENCHMARKS: dict[str, Benchmark] = {
    one.name: one for one in (WRBenchmark(), MindBenchmark(), MemoBenchmark(), StevoBenchmark())
}


def benchmark(name: str) -> Benchmark:
    """Look a benchmark up. Raises ``InputError`` naming those there are."""
    if name not in BENCHMARKS:
        raise InputError(f"unknown benchmark {name!r}; known are {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
