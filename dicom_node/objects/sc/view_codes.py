"""Which view a picture shows, in the attributes that hanging protocols of mammograms read."""

import re
from typing import Final

from pydicom.dataset import Dataset

from dicom_node.objects.terms import codes
from dicom_node.objects.terms.codes import coded
from mammoclip_core.findings import ImageFindings

_CODE_STRING: Final = re.compile(r"[A-Z0-9_][A-Z0-9_ ]{0,15}")
"""PS3.5 6.2, CS. Another program may call a view as it likes."""


def set_view(capture: Dataset, image: ImageFindings) -> None:
    """State side, view and modifiers of the image that a picture is of.

    References
    ----------
    PS3.3 C.8.11.7 (a Standard Extended SOP Class), PS3.16 CID 4014 and 4015.
    """
    if image.laterality:
        capture.ImageLaterality = image.laterality
    else:
        capture.Laterality = ""
    if _CODE_STRING.fullmatch(image.view_position):
        capture.ViewPosition = image.view_position
    view = codes.VIEWS.get(image.view_position)
    if view is not None:
        item = coded(view)
        modifiers = [
            coded(codes.VIEW_MODIFIERS[words])
            for words in image.view_modifiers
            if words in codes.VIEW_MODIFIERS
        ]
        if modifiers:
            item.ViewModifierCodeSequence = modifiers
        capture.ViewCodeSequence = [item]
