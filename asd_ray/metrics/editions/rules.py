"""The three ways in which DCASE has formed cells so far."""

from __future__ import annotations

from asd_ray.metrics.editions._base import DOMAINS, CellGroup, CellRule

# AUC and pAUC of each id. Machines of no DCASE year are scored like this, too.
PER_ID = CellRule((CellGroup(None, (("auc", None),), "pauc"),))

# Normal clips of a domain against anomalies of the same domain.
PER_DOMAIN = CellRule(
    tuple(CellGroup(domain, ((f"auc_{domain}", None),), f"pauc_{domain}") for domain in DOMAINS), DOMAINS
)

# Normal clips of a domain against all anomalies of the section; one pAUC over the whole section.
PER_SECTION = CellRule((CellGroup(None, tuple((f"auc_{domain}", domain) for domain in DOMAINS), "pauc"),), DOMAINS)
