"""Trains in a process of its own: worker.py CONFIG_JSON DATA OUT. Leaves their number in processes.txt.

``RESUME`` in the environment: go on with the run that is there. ``DDP_BUCKET_MB``: how large DDP's buckets are, so that
a tiny model has several.
"""

import json
import os
import sys
from functools import partialmethod
from pathlib import Path

import torch
from accelerate.state import PartialState

from outofsight.training.config import from_dict
from outofsight.training.loop import train

if __name__ == "__main__":
    torch.set_num_threads(1)
    if bucket := os.environ.get("DDP_BUCKET_MB"):
        ddp = torch.nn.parallel.DistributedDataParallel
        ddp.__init__ = partialmethod(ddp.__init__, bucket_cap_mb=float(bucket))
        # The first bucket may be no larger than the others.
        torch.distributed._DEFAULT_FIRST_BUCKET_BYTES = int(float(bucket) * 2**20)
    out = Path(sys.argv[3])
    train(from_dict(json.loads(sys.argv[1])), Path(sys.argv[2]), out, resume="RESUME" in os.environ)
    state = PartialState()
    if state.is_main_process:
        (out / "processes.txt").write_text(str(state.num_processes))
