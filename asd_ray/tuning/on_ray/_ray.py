"""Ray and Tune, imported in one place, because they read these environment variables when they are imported."""

from __future__ import annotations

import os

os.environ.setdefault("RAY_AUTH_MODE", "token")  # every connection needs the token of ~/.ray/auth_token
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # they write five files per trial; the ledger holds all of it
os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # `search.interruptible` handles Ctrl-C
os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = (
    "1000000"  # Tune's own snapshot is never used: a search resumes from the ledger
)
os.environ["TUNE_PRINT_ALL_TRIAL_ERRORS"] = "0"
os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "64"  # the search itself starts no more trials than fit
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")

import ray
from ray import tune
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.util import metrics

__all__ = ["FIFOScheduler", "Searcher", "TrialProgressCallback", "TrialScheduler", "metrics", "ray", "tune"]
