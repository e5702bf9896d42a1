"""The section [store]: an S3 bucket through which workers on other hosts get and give files."""

from typing import Annotated

from pydantic import PositiveInt, StringConstraints

from dicom_node.settings.section import Secret, Section

BucketName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]


class StoreSettings(Section):
    """A copy of the spool's files for workers that do not see its folder; off without a bucket."""

    bucket: BucketName | None = None
    """Name of an S3 bucket that exists. Default: no store."""
    prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_./-]{0,200}$")] = ""
    """Before the name of every object, where others use the same bucket; empty: none."""
    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+$")] | None = None
    """https://host:port of another S3 server. Default: Amazon's of the region."""
    region: str = "us-east-1"
    """Region of the bucket."""
    access_key_id: str = ""
    """Default: AWS_ACCESS_KEY_ID, or the role of the machine."""
    secret_access_key: Secret | None = None
    """Default: AWS_SECRET_ACCESS_KEY, or the role of the machine."""
    cache_bytes: PositiveInt = 20_000_000_000
    """Bytes of fetched files that a worker's host keeps in its spool folder; the latest used."""

    @property
    def is_on(self) -> bool:
        """Whether there is a store."""
        return self.bucket is not None
