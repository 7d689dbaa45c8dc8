"""An inference request of the Open Inference Protocol, from its body to the response's."""

import asyncio
import functools
import time

from service.inference.classify import INLINE_BYTES, Classification
from service.open_inference.request import read_infer
from service.open_inference.response import render_infer


async def infer(classification: Classification, body: bytes, json_length: int | None) -> tuple[bytes, int | None]:
    """Answer an inference request; see :func:`read_infer` and :func:`render_infer`.

    Raises:
        Problem: the request is invalid, or the service cannot answer it now.
    """
    started = time.perf_counter()
    model = classification.model
    read = functools.partial(read_infer, body, json_length, model.classifier.image_shape)
    if len(body) <= INLINE_BYTES:
        request, images = read()
    else:
        request, images = await asyncio.get_running_loop().run_in_executor(classification.worker.decoders, read)
    classification.record_decoding(started)
    answers = await classification.run(list(images))
    classification.count_unfamiliar(answers)
    return render_infer(request, model, answers)
