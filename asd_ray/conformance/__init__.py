"""What every detector must do: checks that run on any class, a user's own among them.

``for result in check_family(MyDetector): print(result)``
"""

from asd_ray.conformance.run import CheckResult, check_family

__all__ = ["CheckResult", "check_family"]
