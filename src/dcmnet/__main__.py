"""`python -m dcmnet` is `dcmnet`."""

from __future__ import annotations

import sys

from dcmnet.cli import main

if __name__ == "__main__":
    sys.exit(main())
