"""Handling of inference requests of the Open Inference Protocol."""

import functools
import time

from service.inference.classify import INLINE_BYTES, Classification, count_unfamiliar
from service.open_inference.request import Encoding, parse_infer
from service.open_inference.response import render_infer

NS_PER_BYTE = 20  # of JSON numbers, parsed


async def infer(classification: Classification, body: bytes, encoding: Encoding) -> tuple[bytes, int | None]:
    """Run an inference request; see :func:`parse_infer` and :func:`render_infer`.

    Raises:
        Problem: the request is invalid, or the service cannot process it now.
    """
    started = time.perf_counter()
    model = classification.model
    max_bytes = classification.worker.settings.max_batch_body_bytes
    parse = functools.partial(parse_infer, body, encoding, model.classifier.image_shape, max_bytes=max_bytes)
    if len(body) <= INLINE_BYTES and not encoding.is_compressed:
        request, images = parse()
    else:
        expected_s = len(body) * NS_PER_BYTE * 1e-9
        request, images = await classification.worker.decoders.run(parse, expected_s=expected_s)
    classification.record_decoding(started)
    predictions = await classification.run(list(images))
    count_unfamiliar(model, predictions)
    return render_infer(request, model, predictions)
