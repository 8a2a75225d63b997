"""What holds for every test."""

from hypothesis import HealthCheck, settings

# Time is no measure of a strategy on a machine that has other things to do.
settings.register_profile("taskd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("taskd")
