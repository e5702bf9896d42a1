"""The section [settling]: when a study counts as complete."""

from pydantic import PositiveFloat

from dicom_node.settings.section import Section


class SettlingSettings(Section):
    """When a study counts as complete."""

    idle_seconds: PositiveFloat = 60.0
    """Without the four standard views: nothing has arrived for so long."""
    grace_seconds: PositiveFloat = 5.0
    """With the four standard views: nothing has arrived for so long."""
