"""Colours and limits that the API allows (reference: "Доступные цвета статусов", "Доступные цвета сегментов").

A colour is checked only when it is written: what an account already holds may be outside the palette.
"""

MAX_STATUSES = 30
"""Statuses of one account, the system ones included (reference: "Общая информация")."""

MAX_SEGMENTS = 100
"""Segments of one account (reference: "Общая информация")."""

MAX_SEGMENT_FIELDS = 30
"""Custom fields that the segments of one account can have (reference: "Общая информация")."""

MAX_VALUES = 250
"""Values of one custom field, and price fields of one segment, that are written at once (assumed)."""

ALMOST_FULL = 0.9
"""Share of a limit from which it is reported as almost used up."""

STATUS_COLORS = tuple(
    "#fffeb2 #fffd7f #fff000 #ffeab2 #ffdc7f #ffce5a #ffdbdb #ffc8c8 #ff8f92 #d6eaff #c1e0ff "
    "#98cbff #ebffb1 #deff81 #87f2c0 #f9deff #f3beff #ccc8f9 #eb93ff #f2f3f4 #e6e8ea".split()
)
"""The 21 colours of a status, written with `#`."""

SEGMENT_COLORS = tuple(
    "10599d 2176ff 006acc 07a0c3 247ba0 177e89 046e8f 598381 0c7c59 495f41 00a44b 08605f bf2600 06d6a0 "
    "e14945 79b473 ae003f a2ad59 cd0f53 8e936d 832161 2e5339 bf126f 6f7c12 ff5376 dd1c1a bb304e 631d76 "
    "9d2b32 4a001f b118c8 6a0f49 6610f2 b38a58 8963ba 4b3666 932f6d 6b2d5c 6461a0 4f517d".split()
)
"""The 40 colours of a segment, written without `#`."""


def status_color(text: str) -> str:
    """The status colour that `text` means; case and a missing `#` are forgiven.

    Raises:
        ValueError: the palette has no such colour.
    """
    color = "#" + text.strip().lstrip("#").lower()
    if color not in STATUS_COLORS:
        raise ValueError(f"is not one of the 21 status colours; they are: {' '.join(STATUS_COLORS)}")
    return color


def segment_color(text: str) -> str:
    """The segment colour that `text` means; case and an extra `#` are forgiven.

    Raises:
        ValueError: the palette has no such colour.
    """
    color = text.strip().lstrip("#").lower()
    if color not in SEGMENT_COLORS:
        raise ValueError(f"is not one of the 40 segment colours; they are: {' '.join(SEGMENT_COLORS)}")
    return color
