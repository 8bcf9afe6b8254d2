"""Checks of what every detector must do. They run on any class, also a user's own.

``for result in check_family(MyDetector): print(result)``
"""

from asd_ray.conformance.run import CheckResult, check_family

__all__ = ["CheckResult", "check_family"]
