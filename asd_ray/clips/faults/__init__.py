"""Normal clips with an injected fault: what a search compares trials by where there are no anomalies."""

from asd_ray.clips.faults.bank import FaultBank
from asd_ray.clips.faults.plan import FaultPlan, InjectedFault, plan_faults

__all__ = ["FaultBank", "FaultPlan", "InjectedFault", "plan_faults"]
