"""Reading of a request body within a size limit and the worker's upload budget."""

from service.batching.job import ClientLeft
from service.http.request import Headers, Receive
from service.inference.upload_budget import UploadBudget
from service.problems import BadRequest, BodyTooLarge


async def read_body(receive: Receive, headers: Headers, *, limit: int, budget: UploadBudget, expected: str) -> bytes:
    """Read a whole body.

    The caller must release the body's length from ``budget`` afterwards.

    Raises:
        BodyTooLarge: its Content-Length or its length is over ``limit`` bytes.
        BadRequest: the body is empty.
        Overloaded: the budget is exhausted.
        ClientLeft: the connection closed before the end of the body.
    """
    if headers.content_length is not None and headers.content_length > limit:
        raise BodyTooLarge(f"the body has {headers.content_length} bytes, expected at most {limit}")
    chunks: list[bytes] = []
    length, more = 0, True
    try:
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            chunk, more = message.get("body", b""), message.get("more_body", False)
            if length + len(chunk) > limit:
                raise BodyTooLarge(f"the body has over {limit} bytes, expected at most {limit}")
            length += len(chunk)
            budget.take(len(chunk))
            chunks.append(chunk)
        if not length:
            raise BadRequest(f"the body is empty, expected {expected}")
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
    except BaseException:
        budget.release(length)
        raise
