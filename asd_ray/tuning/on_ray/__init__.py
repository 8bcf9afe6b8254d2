"""A search on Ray: Tune's searcher, scheduler and callback, the worker, the cluster, its client, time limits."""
