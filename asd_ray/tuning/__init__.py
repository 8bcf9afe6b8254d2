"""A search: what is asked for, studies by Optuna, trials and their events; on Ray in on_ray/, watched by watch/."""
