"""``python -m dancerev``: as the command ``dancerev``."""

import sys

from .commands import main

sys.exit(main())
