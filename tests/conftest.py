"""Hypothesis profiles: `ci` is derandomised and bounded, `dev` the default, `nightly` searches long."""

import os

import pytest
from hypothesis import settings

from tinygrad_conv.testing.plugin import register_profiles

register_profiles()
PROFILE = os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
settings.load_profile(f"tinygrad_conv-{PROFILE}")


@pytest.fixture
def rng():
    import numpy as np

    return np.random.default_rng(0)
