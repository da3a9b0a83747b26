"""What holds for all tests: laws are tried on busy machines too."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "keepfit", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors]
)
settings.load_profile("keepfit")
