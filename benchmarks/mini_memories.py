"""The bundled mini's memories one by one, for ``--strategy mini_memories:NAME`` with this folder on ``PYTHONPATH``.

``mini-hydra``: its memory of slices without its banks, settings otherwise as it was trained. The registered strategies
``hybrid`` (a window and the banks) and ``window`` (neither) serve as they are.
"""

from outofsight.memory.strategies import HYDRA, Strategy, register_strategy

register_strategy(
    Strategy(
        name="mini-hydra",
        what="the mini's own memory slices, without its banks",
        settings={**HYDRA, "memory_top_k": 8, "memory_source": "context"},
        base="hydra",
        source="HyDRA, arXiv 2603.25716",
    )
)
