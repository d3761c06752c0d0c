"""`python -m robot_rlaas.cli` is `rlaas`."""

import sys

from robot_rlaas.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
