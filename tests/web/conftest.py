"""The explorer's tests need its own libraries."""

import pytest

for name in ("starlette", "uvicorn", "websockets"):
    pytest.importorskip(name, reason="pip install 'outofsight[explore]'")
