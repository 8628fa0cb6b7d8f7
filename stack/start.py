"""``python -m stack.start COMMAND...``: become a program, under the variables that stand as JSON in one of them.

supervisord's own list of variables has no way to write a value with quotes, or a line end, which passwords and
``SLUICE_SPARK_CONF`` have.
"""

import base64
import json
import os
import sys
from collections.abc import Mapping

VARIABLE = "SLUICE_VARIABLES"


def packed(variables: Mapping[str, str]) -> str:
    """What that one variable holds, in letters that no configuration file minds."""
    return base64.b64encode(json.dumps(variables).encode()).decode()


if __name__ == "__main__":
    os.environ.update(json.loads(base64.b64decode(os.environ.pop(VARIABLE))))
    os.execvp(sys.argv[1], sys.argv[1:])
