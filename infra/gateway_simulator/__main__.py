"""`python -m infra.gateway_simulator`: the simulator alone."""

import sys

from infra.errors import ScizorError
from infra.gateway_simulator.launch import main

if __name__ == "__main__":
    try:
        main()
    except ScizorError as error:
        sys.stderr.write(f"gateway simulator: {error}\n")
        sys.exit(error.exit_code)
