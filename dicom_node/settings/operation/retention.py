"""The section [retention]: when received images and results are removed from the spool."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from dicom_node.settings.section import Section


class RetentionSettings(Section):
    """When received images and results are removed; without any of these: never."""

    days: PositiveFloat | None = None
    """Days after which the files of a delivered study are removed. Default: never for their age."""
    free_bytes: PositiveInt | None = None
    """Bytes to keep free on the spool's disk: with less, the files of delivered studies are
    removed, those finished for longest first. Default: not looked at."""
    free_percent: Annotated[float, Field(gt=0, lt=100)] | None = None
    """The same as a part of the disk, in percent. Default: not looked at."""
    set_aside_days: PositiveFloat | None = None
    """Days after which objects that were set aside, and studies of which nothing can be analysed,
    are removed. Default: never."""

    @property
    def is_on(self) -> bool:
        """Whether anything is ever removed."""
        limits = (self.days, self.free_bytes, self.free_percent, self.set_aside_days)
        return any(limit is not None for limit in limits)
