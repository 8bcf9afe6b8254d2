"""What is dispatched: studies rebuilt from the ledger, trials, and the run. The only package that imports ray or
optuna."""
