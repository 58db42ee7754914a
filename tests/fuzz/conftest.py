"""The damaged files are those of the benchmark; hypothesis draws their seeds, within a budget."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

# The same files in every run, unless a seed is asked for: --hypothesis-seed=17. A seed says all
# of a file, so there is nothing to shrink.
settings.register_profile(
    "fuzz",
    database=None,
    deadline=None,
    derandomize=not any(a.startswith("--hypothesis-seed") for a in sys.argv),
    max_examples=2,
    phases=(Phase.explicit, Phase.generate),
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
