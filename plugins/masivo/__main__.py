"""``python -m masivo``; see `masivo.cli`."""

from __future__ import annotations

import sys

from masivo.cli import main


if __name__ == "__main__":
    sys.exit(main())
