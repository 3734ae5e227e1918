"""The command `docstore`."""

import gc

# PERF: loading modules creates no garbage, and Python would search for it 150 times.
gc.set_threshold(10_000)
