"""Commands that say what happens: ``why`` and ``metrics``."""
