"""MLflow's server in one process: `python -m coalmine.local.mlflow_server --port P --store URI --artifacts DIR`.

`mlflow server` keeps its command-line process (220 MB) waiting beside the worker for as long as it runs. Here
the worker's own ASGI app is served directly, which halves the memory; the settings that the command would hand
to its worker are set by the names that MLflow exports for it, so that a renamed one fails at the start.
"""

from __future__ import annotations

import argparse
import os


def main() -> None:
    """Serve until TERM. Listens on loopback; other Host headers are refused by MLflow itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--store", required=True, help="the tracking and registry store, as an SQLAlchemy URI")
    parser.add_argument("--artifacts", required=True, help="the folder for artifacts")
    given = parser.parse_args()
    os.nice(5)  # its start is ten seconds of imports: a rollout under way comes first

    from mlflow import environment_variables as variables  # noqa: PLC0415 - after nice(), and only in this process
    from mlflow.server import constants  # noqa: PLC0415 - likewise

    os.environ |= {
        constants.BACKEND_STORE_URI_ENV_VAR: given.store,
        constants.REGISTRY_STORE_URI_ENV_VAR: given.store,
        constants.ARTIFACT_ROOT_ENV_VAR: given.artifacts,
        variables.MLFLOW_SERVER_ALLOWED_HOSTS.name: f"localhost:{given.port},127.0.0.1:{given.port}",
        variables.MLFLOW_SERVER_ENABLE_JOB_EXECUTION.name: "false",
    }
    import uvicorn  # noqa: PLC0415 - its app reads the environment at import

    uvicorn.run("mlflow.server.fastapi_app:app", host="127.0.0.1", port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
