"""The REST API: what the commands do, for programs, behind the same roles as the pages."""

from typing import Final

from dicom_node.console.api import analyze, health, operations, studies, tables, watching

API: Final = (studies, operations, analyze, watching, tables, health)
