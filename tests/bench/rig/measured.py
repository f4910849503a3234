"""
What a bench measures of a process: wall and CPU seconds, and the most memory that it has used.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def measured() -> Iterator[dict[str, Any]]:
    """
    Measure the block and print the result, to which the block adds its *rows* and what it knows
    better, as one line of JSON.
    """
    result: dict[str, Any] = {"rows": 0}
    wall, cpu = time.perf_counter(), time.process_time()
    yield result
    result["seconds"] = time.perf_counter() - wall
    result["cpu"] = time.process_time() - cpu + result.pop("cpu_of_tasks", 0.0)
    result.setdefault("megabytes", peak())
    print(json.dumps(result), flush=True)  # noqa: T201 (whoever started it reads this)


def peak() -> float:
    """
    Return the most memory in MB that this process has had; getrusage would count its parent's, from
    before the exec.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1000 if found else 0.0
