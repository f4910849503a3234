"""``python -m masivo_engine.sandbox``."""

from __future__ import annotations

import sys

from masivo_engine.sandbox.command import main


sys.exit(main())
