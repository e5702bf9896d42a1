"""The section [settling]: when a study is complete."""

from pydantic import PositiveFloat

from dicom_node.settings.section import Section


class SettlingSettings(Section):
    """When a study is complete."""

    idle_seconds: PositiveFloat = 60.0
    """Seconds without a new object before a study is complete."""
    grace_seconds: PositiveFloat = 5.0
    """Seconds without a new object, once all four standard views have arrived."""
