"""Baseline: a bare ASGI handler that decodes, batches, predicts and responds.

It has no limits, error handling, metrics or multipart forms. Its CPU time is the lowest practical one. uvicorn runs it
with uvloop and httptools.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.onnx_model import load_model

MAX_BATCH_SIZE = 64

model = load_model()
queue: list[tuple[NDArray[np.uint8], "asyncio.Future[NDArray[np.float32]]"]] = []


async def app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """Respond with a prediction, or with `{}` to a request without a body."""
    if scope["type"] == "lifespan":
        await handle_lifespan(receive, send)
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    content = model.render_json(await classify(model.decode(body))) if body else b"{}"
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def classify(image: NDArray[np.uint8]) -> "asyncio.Future[NDArray[np.float32]]":
    """Queue an image for the batch of this event loop iteration."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    if not queue:
        loop.call_soon(run_queue)
    queue.append((image, done))
    return done


def run_queue() -> None:
    """Run all queued images in batches."""
    while queue:
        batch = queue[:MAX_BATCH_SIZE]
        del queue[:MAX_BATCH_SIZE]
        for (_, done), row in zip(batch, model.run(np.stack([image for image, _ in batch])), strict=True):
            if not done.done():
                done.set_result(row)


async def handle_lifespan(
    receive: Callable[[], Awaitable[Any]], send: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """Complete the ASGI lifespan events."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
