"""Normal clips that are altered: with a fault, or cropped. A search without anomalies compares trials by them."""

from asd_ray.clips.faults.bank import AlteredBank
from asd_ray.clips.faults.crops import Crop, crops_of
from asd_ray.clips.faults.plan import FaultPlan, InjectedFault, plan_faults
from asd_ray.clips.faults.sources import SourceClips

__all__ = ["AlteredBank", "Crop", "FaultPlan", "InjectedFault", "SourceClips", "crops_of", "plan_faults"]
