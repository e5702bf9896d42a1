"""An image for which the model gives no finite numbers fails alone, whatever computes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from core_factory import WriteInstance, breast

from mammoclip_core.analysis import image_preparation
from mammoclip_core.analysis.study_files import request_from
from mammoclip_core.engines.choice import load_engine, load_model
from mammoclip_core.engines.computing_options import EngineName
from mammoclip_core.errors import ComputingError
from mammoclip_core.findings import ImageStatus
from mammoclip_core.images.preprocessing import PreparedImage
from mammoclip_core.images.stored_image import StoredImage
from mammoclip_core.manifest import Preprocessing

ENGINES = [EngineName.TORCH, EngineName.OPENVINO]


@pytest.mark.parametrize("engine", ENGINES)
def test_image_without_a_finite_answer_fails_alone(
    random_bundle: Path,
    write_instance: WriteInstance,
    monkeypatch: pytest.MonkeyPatch,
    engine: EngineName,
) -> None:
    request = request_from([write_instance(breast(seed=number)) for number in range(3)])
    spoiled = request.images[1].sop_instance_uid
    prepare = image_preparation.prepare

    def prepare_but_spoil_one(stored: StoredImage, preprocessing: Preprocessing) -> PreparedImage:
        prepared = prepare(stored, preprocessing)
        if stored.sop_instance_uid != spoiled:
            return prepared
        return replace(prepared, values=np.full_like(prepared.values, np.nan))

    monkeypatch.setattr(image_preparation, "prepare", prepare_but_spoil_one)

    images = load_engine(random_bundle, engine=engine).analyze(request).findings.images

    assert {image.sop_instance_uid: image.status for image in images} == {
        image.sop_instance_uid: (
            ImageStatus.FAILED if image.sop_instance_uid == spoiled else ImageStatus.ANALYSED
        )
        for image in request.images
    }
    (failed,) = (image for image in images if image.status is ImageStatus.FAILED)
    assert "finite" in failed.reason


@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("engine", ENGINES)
def test_embedding_that_is_not_finite_is_an_error(
    random_bundle: Path, engine: EngineName, value: float
) -> None:
    model = load_model(random_bundle, engine=engine)

    with pytest.raises(ComputingError, match="finite"):
        model.embed(np.full((1, 3, 380, 228), value, np.float32))
