"""``python -m luigi_tasks.transform``.

A small month's transform is mostly its imports. Arrow does without numpy, which it imports where
it can, and nothing of what is imported is garbage: without both they take half the time.
"""

import gc
import sys

gc.disable()
sys.modules["numpy"] = None  # type: ignore[assignment]

from luigi_tasks.transform.command import main  # noqa: E402

gc.freeze()
gc.enable()

if __name__ == "__main__":
    sys.exit(main())
