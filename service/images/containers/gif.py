"""GIF: header, palette and the first frame."""

from service.images.containers.container import Container, check_sides
from service.problems import UnreadableImage

MAX_BLOCKS = 10_000  # before the first frame; real files have a few, or a few hundred with a colour profile
_EXTENSION, _FRAME, _END = b"!,;"
_CONTROL = 0xF9  # transparency of the next frame


def parse_gif(body: bytes, max_pixels: int) -> Container:
    """Return a GIF without the blocks before its first frame, other than the frame's own control block.

    Raises:
        ImageTooLarge: the image has more than ``max_pixels``, or a longer side than MAX_SIDE.
        UnreadableImage: the file ends before its first frame, or has more blocks before it than real files have.
    """
    try:
        at = 13 + (6 << (body[10] & 7) if body[10] & 0x80 else 0)  # after header, screen descriptor and palette
        head, control = body[:at], b""
        for _ in range(MAX_BLOCKS):
            if body[at] == _FRAME:
                return _first_frame(head, control, body[at:], max_pixels)
            if body[at] == _END:
                break
            if body[at] != _EXTENSION:  # Pillow skips such bytes too
                at += 1
                continue
            end = _skip(body, at + 2)
            if body[at + 1] == _CONTROL:
                control = body[at:end]
            at = end
        else:
            raise _too_many_blocks()
    except IndexError:
        pass
    raise UnreadableImage("the GIF cannot be decoded: it has no frame; send the complete, undamaged file")


def _skip(body: bytes, at: int) -> int:
    """Return the position after a list of blocks with a length prefix."""
    for _ in range(MAX_BLOCKS):
        if not body[at]:
            return at + 1
        at += 1 + body[at]
    raise _too_many_blocks()


def _too_many_blocks() -> UnreadableImage:
    return UnreadableImage(f"the GIF has over {MAX_BLOCKS} blocks before its first frame; save it again")


def _first_frame(head: bytes, control: bytes, frame: bytes, max_pixels: int) -> Container:
    """Return a GIF that begins with its first frame, which may be larger than the screen."""
    left, top, width, height = (int.from_bytes(frame[at : at + 2], "little") for at in (1, 3, 5, 7))
    screen_width, screen_height = (int.from_bytes(head[at : at + 2], "little") for at in (6, 8))
    width, height = max(screen_width, left + width), max(screen_height, top + height)
    check_sides(width, height, max_pixels)
    return Container(body=head + control + frame, width=width, height=height)
