"""`python -m latent_align.extract`"""

import sys

from .command import main

sys.exit(main())
