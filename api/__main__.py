"""``python -m dancerev``: as the command ``dancerev``."""

import sys

from .scripts import main

sys.exit(main())
