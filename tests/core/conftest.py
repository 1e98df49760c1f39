"""How hypothesis runs here: without a time limit for one example, for the machine may be busy."""

from hypothesis import settings

settings.register_profile("core", deadline=None)
settings.load_profile("core")
