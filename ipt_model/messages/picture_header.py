"""The size of a compressed picture from its header, before anything is decoded.

In: the bytes of a JPEG or PNG. Out: height and width, or a `HeaderError` that says what is wrong.
A few bytes may ask a decoder for gigabytes and minutes, so whatever cannot be measured here (other
containers, animations, headers cut short) is not decoded at all. The walk over a JPEG's markers is
libjpeg's own: the size found here is the one that it will allocate.
"""

from __future__ import annotations

import struct

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
#: What OpenCV would read as well; named so that the refusal says what came.
_OTHERS = {
    b"RIFF": "WebP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"v/1\x01": "OpenEXR",
    b"#?R": "Radiance HDR",
    b"\x59\xa6\x6a\x95": "Sun raster",
}
#: Frames whose header tells height and width: baseline, extended, progressive, arithmetic.
_SIZED = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
#: Markers without a length: TEM and the restarts.
_BARE = {0x01, *range(0xD0, 0xD8)}
#: Start of scan, end of image: no frame may come after them.
_TOO_LATE = {0xDA, 0xD9}
#: Cameras write one scan, progressive encoders about ten. Each runs over all pixels again.
MAX_SCANS = 64


class HeaderError(ValueError):
    """The size cannot be told; the message goes on from 'compressed image of N bytes'."""


def picture_size(data: bytes) -> tuple[int, int]:
    """(height, width) of the one picture that the data hold."""
    if data.startswith(_PNG):
        height, width = _png(data)
    elif data.startswith(_JPEG):
        height, width = _jpeg(data)
    else:
        raise HeaderError(f"is no JPEG or PNG{_guess(data)}")
    if not (height and width):
        raise HeaderError(f"is {width} x {height} by its header: the size is zero")
    return height, width


def _guess(data: bytes) -> str:
    if data[4:12] in (b"ftypavif", b"ftypavis", b"ftypheic", b"ftypmif1"):
        return " but AVIF"
    return next((f" but {name}" for sign, name in _OTHERS.items() if data.startswith(sign)), "")


def _png(data: bytes) -> tuple[int, int]:
    if data[8:16] != b"\0\0\0\rIHDR" or len(data) < 33:
        raise HeaderError("is a PNG without a header")
    width, height = struct.unpack(">II", data[16:24])
    place = 33
    while place + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        if kind in (b"acTL", b"fcTL"):
            raise HeaderError("is an animated PNG; send one picture a message")
        if kind == b"IDAT":
            break
        place += 12 + length
    return height, width


def _jpeg(data: bytes) -> tuple[int, int]:
    place = 2
    while True:
        # as libjpeg: rubbish before a marker is skipped, and so are fill bytes
        place = data.find(b"\xff", place)
        while 0 <= place < len(data) and data[place] == 0xFF:
            place += 1
        if not 0 <= place < len(data):
            raise HeaderError("is a JPEG that ends before its size")
        marker = data[place]
        place += 1
        if marker == 0 or marker in _BARE:
            continue
        if marker in _TOO_LATE:
            raise HeaderError("is a JPEG without a size before its first scan")
        if place + 7 > len(data):
            raise HeaderError("is a JPEG that ends before its size")
        if marker in _SIZED:
            height, width = struct.unpack(">HH", data[place + 3 : place + 7])
            break
        if marker & 0xF0 == 0xC0 and marker not in (0xC4, 0xCC):
            raise HeaderError(f"is a JPEG of a kind that is not read (marker FF{marker:02X})")
        length = int.from_bytes(data[place : place + 2], "big")
        if length < 2:
            raise HeaderError(f"is a JPEG with a damaged header (marker FF{marker:02X})")
        place += length
    if (scans := data.count(b"\xff\xda")) > MAX_SCANS:
        raise HeaderError(f"is a JPEG of {scans} scans; expected at most {MAX_SCANS}")
    return height, width
