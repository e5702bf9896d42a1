"""ADT messages as a hospital's system sends them."""

from typing import Final

PATIENT_ID: Final = "KLINIK-90817263"

NEW_ID = "NEU-4711"


def adt(
    trigger: str = "A08",
    *,
    pid: str = f"{PATIENT_ID}^^^KLINIK&1.2.3&ISO^PI",
    name: str = "Richtig^Rita^Maria^^Dr",
    birth: str = "19610407",
    mrg: str = "",
    kind: str = "ADT",
    charset: str = "UNICODE UTF-8",
    control: str = "M1",
) -> bytes:
    """Return a message; the field MRG-1 where it is given."""
    segments = [
        f"MSH|^~\\&|KIS|KLINIK|MAMMOCLIP|NODE|20260102101500||{kind}^{trigger}|{control}|P|2.5.1"
        f"||||||{charset}",
        f"EVN|{trigger}|20260102101500",
        f"PID|1||{pid}||{name}||{birth}|F",
    ]
    if mrg:
        segments.append(f"MRG|{mrg}")
    return ("\r".join(segments) + "\r").encode("utf-8" if "UTF" in charset else "iso8859-1")


def merge(former: str = PATIENT_ID, into: str = NEW_ID, trigger: str = "A40") -> bytes:
    return adt(trigger, pid=f"{into}^^^KLINIK", mrg=f"{former}^^^KLINIK")
