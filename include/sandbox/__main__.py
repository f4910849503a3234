"""``python -m include.sandbox``."""

from __future__ import annotations

import sys

from include.sandbox.command import main


sys.exit(main())
