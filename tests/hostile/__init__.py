"""
Files made to hurt whoever opens them, each by its own few lines, none from elsewhere.

CORPUS names them all; each is built when it is asked for, the largest of them near the limit of 30 MB.
"""

from tests.hostile.bombs import BOMBS
from tests.hostile.broken import BROKEN
from tests.hostile.builders import File
from tests.hostile.disguises import DISGUISES

CORPUS: dict[str, File] = {**BOMBS, **BROKEN, **DISGUISES}
