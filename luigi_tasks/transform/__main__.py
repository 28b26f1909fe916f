"""``python -m luigi_tasks.transform``."""

import sys

from luigi_tasks.transform.command import main

if __name__ == "__main__":
    sys.exit(main())
