"""huggingface_hub's offline mode for a module's tests: `from offline_mode import offline  # noqa: F401`."""

from collections.abc import Iterator

import pytest
from huggingface_hub import constants


@pytest.fixture(autouse=True, scope="module")
def offline() -> Iterator[None]:
    """As with HF_HUB_OFFLINE=1, which is read once, when huggingface_hub is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        yield
