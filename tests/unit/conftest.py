"""How properties are tried: not timed, for a machine under load is no defect, and with the same examples every time,

so that what fails for a change fails because of it. `make mutants` tries fewer.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("spellcast", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("mutants", settings.get_profile("spellcast"), max_examples=20)
settings.load_profile("spellcast")
