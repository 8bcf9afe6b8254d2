"""The search on Ray: Tune's searcher and scheduler, the cluster, its client, time limits."""
