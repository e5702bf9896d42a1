"""Tables of public data sets by their published columns, 20 rows each, with their pictures."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)
from small_bundles import SIZE

ROWS = 20


def values(number):
    return np.random.default_rng(number).integers(40, 200, SIZE).astype(np.uint8)


def picture(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), values(number))


def dicom(path, number, patient, laterality):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    data.SOPInstanceUID, data.StudyInstanceUID = generate_uid(), generate_uid()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.PatientID, data.ImageLaterality, data.ViewPosition = patient, laterality, "CC"
    data.Modality, data.PresentationIntentType = "MG", "FOR PRESENTATION"
    data.Rows, data.Columns = SIZE
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.PixelData = values(number).tobytes()
    data.save_as(path, enforce_file_format=True)


def write(path, lines, encoding="utf-8"):
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def embed(folder):
    """Ten patients, two images each; the first breast's two findings contradict each other."""
    images = ["empi_anon,acc_anon,anon_dicom_path,FinalImageType,ImageLateralityFinal,ViewPosition"]
    findings = ["empi_anon,acc_anon,numfind,side,asses,tissueden,massshape,calcfind,path_severity"]
    for patient in range(ROWS // 2):
        for side in "LR":
            picture(folder / f"{patient}" / f"{patient}{side}.png", patient)
            images.append(f"{patient},9{patient},/mnt/x/{patient}{side}.dcm,2D,{side},CC")
        has = patient % 2
        shape, severity = ("S", "0.0") if has else ("", "4.0")
        findings.append(f"{patient},9{patient},1,L,{'S' if has else 'N'},2.0,{shape},,{severity}")
        findings.append(f"{patient},9{patient},2,R,B,2.0,,A,")
    findings.append("0,90,3,L,S,2.0,R,,0.0")
    write(folder / "EMBED_OpenData_clinical.csv", findings)
    return write(folder / "EMBED_OpenData_metadata.csv", images)


def cbis(folder):
    """Patient 0 is in both parts, and two abnormalities of one image differ in pathology."""
    head = (
        "patient_id,{},left or right breast,image view,abnormality id,abnormality type,{},"
        "assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path"
    )
    mass = head.format("breast_density", "mass shape,mass margins")
    calc = head.format("breast density", "calc type,calc distribution")
    files = {"mass_train": [mass], "mass_test": [mass], "calc_train": [calc], "calc_test": [calc]}
    for number in range(ROWS - 1):
        kind, part = ("Mass", "Calc")[number % 2], ("Training", "Test")[number % 3 == 2]
        patient = 0 if number == 2 else number
        case = f"{kind}-{part}_P_{patient:05}_LEFT_{('CC', 'MLO')[number == 2]}"
        picture(folder / case / "1.2" / "1.3" / "1-1.png", number)
        words = "OVAL,CIRCUMSCRIBED" if kind == "Mass" else "PLEOMORPHIC,CLUSTERED"
        what = "mass" if kind == "Mass" else "calcification"
        label = ("BENIGN_WITHOUT_CALLBACK", "MALIGNANT")[number % 4 == 0]
        row = (
            f"P_{patient:05},{1 + number % 4},LEFT,{('CC', 'MLO')[number == 2]},1,"
            f"{what},{words},4,{label},3,"
            f"{case}/1.2/1.3/000000.dcm,{case}_1/1/2/000001.dcm,{case}_1/1/2/000000.dcm"
        )
        file = files[f"{kind.lower()}_{'train' if part == 'Training' else 'test'}"]
        file.append(row)
        if number == 0:
            file.append(row.replace(",1,mass,", ",2,mass,").replace("MALIGNANT", "BENIGN"))
    for name, lines in files.items():
        kind, part = name.split("_")
        write(folder / f"{kind}_case_description_{part}_set.csv", lines)
    return folder / "mass_case_description_train_set.csv"


def cmmd(folder):
    lines = ["ID1,LeftRight,Age,number,abnormality,classification,subtype"]
    for patient in range(ROWS):
        name = f"D1-{patient:04}"
        dicom(folder / "CMMD" / name / "1-1.dcm", patient, name, "L")
        word = ("mass", "calcification", "both")[patient % 3]
        lines.append(f"{name},L,44,2,{word},{('Benign', 'Malignant')[patient % 2]},")
    return write(folder / "CMMD_clinicaldata_revision.csv", lines, "utf-16")


def inbreast(folder):
    lines = ["Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"]
    for number in range(ROWS):
        picture(
            folder / "AllDICOMs" / f"{20586900 + number}_{number:016x}_MG_R_CC_ANON.png", number
        )
        category = ("1", "2", "4a", "5")[number % 4]
        lines.append(f"removed;removed;R;CC;201001;{20586900 + number};{1 + number % 4};{category}")
    return write(folder / "INbreast.csv", lines)


def omi_db(folder):
    lines = [
        "ClientID,ClientStatus,Site,EpisodeID,EpisodeStatus,StudyInstanceUID,EventType,"
        "SeriesInstanceUID,SOPInstanceUID,NumberOfMarks,Model,PresentationIntentType,"
        "ImageLaterality,ViewPosition,PatientAgeYears"
    ]
    for number in range(ROWS):
        uid = f"1.2.{number}"
        picture(folder / f"demd{number}" / f"{uid}.png", number)
        status = ("N", "M", "NA", "B")[number % 4]
        lines.append(
            f"demd{number},{status},a,{number},{status},1,screening,2,{uid},0,X,FOR PRESENTATION,"
            "L,CC,61"
        )
    return write(folder / "summary.csv", lines)


def rsna(folder):
    lines = [
        "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,"
        "density,machine_id,difficult_negative_case"
    ]
    for number in range(ROWS):
        picture(folder / f"{number}" / f"{4000 + number}.png", number)
        cancer = number % 3 == 0
        lines.append(
            f"1,{number},{4000 + number},L,CC,61.0,{int(cancer)},{int(cancer)},{int(number % 2)},"
            f"{('0.0', '1.0', '2.0', '')[number % 4]},0,{'ABCD'[number % 4]},49,{not cancer}"
        )
    return write(folder / "train.csv", lines)


def vindr(folder):
    """One image has an asymmetry, a mass and a row without any finding."""
    lines = [
        "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,"
        "breast_density,finding_categories,finding_birads,xmin,ymin,xmax,ymax,split"
    ]
    for number in range(ROWS - 2):
        picture(folder / f"s{number}" / f"i{number}.png", number)
        words = ("['No Finding']", "\"['Mass', 'Focal Asymmetry']\"", "['Skin Thickening']")
        row = f"s{number},x,i{number},L,CC,3518,2800,BI-RADS {number % 5 + 1},DENSITY B,"
        part = ("training", "test")[number % 4 == 3]
        lines.append(f"{row}{words[number % 3]},,,,,,{part}")
        if number == 1:
            lines += [f"{row}['No Finding'],,,,,,{part}", f"{row}['Asymmetry'],,,,,,{part}"]
    return write(folder / "finding_annotations.csv", lines)


SETS: dict[str, tuple[Callable[[Path], Path], str, int]] = {
    "embed": (embed, "invasive", 20),
    "cbis-ddsm": (cbis, "birads", 19),
    "cmmd": (cmmd, "malignancy", 20),
    "inbreast": (inbreast, "birads", 20),
    "omi-db": (omi_db, "malignant_episode", 20),
    "rsna": (rsna, "invasive", 20),
    "vindr": (vindr, "asymmetry", 18),
}


def with_dicom_images(name: str, folder: Path) -> Path:
    """Write a set's table, with DICOM images where it comes with pictures."""
    table = SETS[name][0](folder)
    for number, file in enumerate(sorted(folder.rglob("*.png"))):
        dicom(file.with_suffix(".dcm"), number, file.stem, "L")
        file.unlink()
    return table
