"""``asd-ray ledger ls|show|verify|export|import|compact|forget``: the stored trials of a run."""

from __future__ import annotations

from collections.abc import Sequence

from asd_ray.cli._arguments import parser
from asd_ray.cli._run import run_action
from asd_ray.cli.ledger.compact import add_compact
from asd_ray.cli.ledger.export import add_export
from asd_ray.cli.ledger.forget import add_forget
from asd_ray.cli.ledger.import_ import add_import
from asd_ray.cli.ledger.ls import add_ls
from asd_ray.cli.ledger.mlflow import add_mlflow
from asd_ray.cli.ledger.show import add_show
from asd_ray.cli.ledger.verify import add_verify

EXAMPLES = (
    "asd-ray ledger ls runs/fan",
    "asd-ray ledger show runs/fan fan-autoencoder-0007",
    "asd-ray ledger import runs/fan other_teams.csv",
    "asd-ray ledger verify s3://bucket/runs/fan",
)
VERBS = {
    "ls": add_ls,
    "show": add_show,
    "verify": add_verify,
    "export": add_export,
    "mlflow": add_mlflow,
    "import": add_import,
    "compact": add_compact,
    "forget": add_forget,
}


def main(argv: Sequence[str] | None = None) -> int:
    command = parser(
        "ledger",
        "List, show, verify, import, export, compact or forget the trials of a run.",
        EXAMPLES,
    )
    actions = command.add_subparsers(dest="action", required=True, metavar="|".join(VERBS))
    for add_verb in VERBS.values():
        add_verb(actions)
    return run_action(command, argv)
