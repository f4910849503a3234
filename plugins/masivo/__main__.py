"""``python -m masivo``; see `masivo.cli.parser`."""

from __future__ import annotations

import sys

from masivo.cli.parser import main


# Airflow runs any file of its plugins folder by its bare name, so this one as `__main__`; only
# `python -m masivo` knows the package.
if __name__ == "__main__" and __package__ == "masivo":
    sys.exit(main())
