"""The bundled mini's memories one by one, for ``--strategy mini_memories:NAME`` with this folder on ``PYTHONPATH``.

``mini-both``: as it was trained. ``mini-hydra``: its memory of slices without its banks. The registered strategies
``hybrid`` (a window and the banks) and ``window`` (neither) serve as they are.
"""

from outofsight.memory.strategies import HYDRA, Strategy, register_strategy

SLICES = {**HYDRA, "memory_top_k": 8, "memory_source": "context"}

register_strategy(
    Strategy(
        name="mini-both",
        what="the mini's own memory slices, and its two banks",
        settings={**SLICES, "banks": {}},
        base="hybrid+hydra",
        source="HyDRA and the two-bank memory",
    )
)
register_strategy(
    Strategy(
        name="mini-hydra",
        what="the mini's own memory slices, without its banks",
        settings=SLICES,
        base="hydra",
        source="HyDRA, arXiv 2603.25716",
    )
)
