"""Size and number of the frames in AV1 and HEVC data, which a container may state wrongly."""

from collections.abc import Iterator

MAX_UNITS = 1_000  # per image; encoders write fewer than ten

_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME = 1, 3, 6  # AV1's types of units
_SPS = 33  # HEVC's sequence parameter set; types below 32 are slices


class _Bits:
    """Reads the bits of a header, most significant first; 0 after its end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, count: int) -> int:
        self._left -= count
        return self._value >> max(0, self._left) & (1 << count) - 1 if self._left >= 0 else 0

    def read_golomb(self) -> int:
        """Read an unsigned Exp-Golomb code (ue(v) of HEVC, uvlc() of AV1)."""
        zeros = 0
        while zeros < 32 and self._left > 0 and not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)


def count_av1_pixels(data: bytes) -> int:
    """Return the pixels of all frames of AV1 data, as its sequence headers state them.

    Raises:
        ValueError: the data has no sequence header, or more units than encoders write.
    """
    largest, frames = 0, 0
    for kind, content in _av1_units(data):
        if kind == _SEQUENCE_HEADER:
            largest = max(largest, _av1_area(_Bits(content[:128])))
        frames += kind in {_FRAME_HEADER, _FRAME}
    if not largest:
        raise ValueError("the AV1 data has no sequence header")
    return largest * max(1, frames)


def _av1_units(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of each unit (AV1 specification, 5.3)."""
    at = 0
    for _ in range(MAX_UNITS):
        if at >= len(data):
            return
        header = data[at]
        at += 2 if header & 4 else 1
        length = len(data) - at
        if header & 2:
            length, shift = 0, 0
            while at < len(data) and shift < 56:
                byte = data[at]
                length |= (byte & 0x7F) << shift
                at, shift = at + 1, shift + 7
                if byte < 0x80:
                    break
        yield header >> 3 & 15, data[at : at + length]
        at += length
    raise ValueError(f"the AV1 data has over {MAX_UNITS} units")


def _av1_area(bits: _Bits) -> int:
    """Return the largest frame that a sequence header allows (5.5.1)."""
    bits.read(4)
    if bits.read(1):  # a still picture
        bits.read(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = 1 + bits.read(4), 1 + bits.read(4)
    return (1 + bits.read(width_bits)) * (1 + bits.read(height_bits))


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.read(1):  # timing
        bits.read(64)
        if bits.read(1):
            bits.read_golomb()
        if bits.read(1):  # decoder model
            delay_bits = 1 + bits.read(5)
            bits.read(42)
    has_display_delay = bits.read(1)
    for _ in range(1 + bits.read(5)):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if delay_bits and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if has_display_delay and bits.read(1):
            bits.read(4)


def count_hevc_pixels(config: bytes, data: bytes) -> int:
    """Return the pixels of all frames of HEVC data, as its parameter sets state them.

    Args:
        config: content of the box hvcC (ISO/IEC 14496-15, 8.3.3.1).
        data: units, each after its length.

    Raises:
        ValueError: there is no parameter set, or there are more units than encoders write.
    """
    length_bytes = 1 + (config[21] & 3) if len(config) > 22 else 4
    largest, frames = 0, 0
    for unit in (*_config_units(config), *_hevc_units(data, length_bytes)):
        kind = unit[0] >> 1 & 63
        if kind == _SPS:
            largest = max(largest, _hevc_area(_Bits(unit[2:258].replace(b"\0\0\3", b"\0\0"))))
        frames += kind < 32 and len(unit) > 2 and unit[2] >> 7  # the first slice of a frame
    if not largest:
        raise ValueError("the HEVC data has no parameter set")
    return largest * max(1, frames)


def _config_units(config: bytes) -> Iterator[bytes]:
    at = 23
    for _ in range(config[22] if len(config) > 22 else 0):
        count = int.from_bytes(config[at + 1 : at + 3], "big")
        at += 3
        for _ in range(min(count, MAX_UNITS)):
            length = int.from_bytes(config[at : at + 2], "big")
            if not length or at >= len(config):
                return
            yield config[at + 2 : at + 2 + length]
            at += 2 + length


def _hevc_units(data: bytes, length_bytes: int) -> Iterator[bytes]:
    at = 0
    for _ in range(MAX_UNITS):
        length = int.from_bytes(data[at : at + length_bytes], "big")
        at += length_bytes
        if not length or at >= len(data):
            return
        yield data[at : at + length]
        at += length
    raise ValueError(f"the HEVC data has over {MAX_UNITS} units")


def _hevc_area(bits: _Bits) -> int:
    """Return the size of a frame from a sequence parameter set (ITU-T H.265, 7.3.2.2.1)."""
    bits.read(4)
    layers = bits.read(3)
    bits.read(1 + 96)  # the general profile and level
    present = [(bits.read(1), bits.read(1)) for _ in range(layers)]
    if layers:
        bits.read(2 * (8 - layers))
    for has_profile, has_level in present:
        bits.read(88 * has_profile + 8 * has_level)
    bits.read_golomb()
    if bits.read_golomb() == 3:  # chroma format
        bits.read(1)
    return bits.read_golomb() * bits.read_golomb()
