"""In-process model of the command line, with the image preparation of the service."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.hardware import available_cores
from models.preparation.preparer import draft_side, preparer
from models.preparation.second_look import choose_framing, second_look
from service.images.decoder import decode_picture, open_image
from service.images.guards import check_size
from service.inference.prediction_json import PredictionRenderer
from service.inference.repository import highest
from service.prediction import Prediction
from service.problems import Problem, UnknownModel
from service.runtime.model_store import find_model_files
from service.runtime.planning import choose_classifier
from service.settings import Settings


class LocalModel:
    """The newest version of a model, loaded into this process."""

    def __init__(self, settings: Settings, name: str) -> None:
        """Load the model.

        Raises:
            UnknownModel: no model has this name.
            ModelLoadError, DeviceError: see load_classifier.
        """
        files = find_model_files(settings.models_dir)
        if name not in files:
            raise UnknownModel(f"no model {name!r} in {settings.models_dir}, expected one of: {', '.join(files)}")
        threads = available_cores()
        newest = files[name][highest(files[name])]
        self._classifier = choose_classifier(newest, settings, threads=threads)
        card, image_shape = self._classifier.card, self._classifier.image_shape
        self.name, self.version, self.class_names = card.name, card.version, card.class_names
        self._settings = settings
        self._prepare = preparer(card.preparation, image_shape, card.resize)
        self._other_framings = second_look(card.preparation)
        self._draft_side = draft_side(card.preparation, image_shape)
        self._renderer = PredictionRenderer(card.name, card.version, card.class_names)
        self._decoders = ThreadPoolExecutor(threads)

    def classify(self, contents: Sequence[bytes]) -> list[dict[str, Any]]:
        """Return a prediction or a problem per image, as classify-batch does."""
        images = list(self._decoders.map(self._prepare_file, contents))
        decoded = [image for image in images if not isinstance(image, Problem)]
        first = self._classifier.run(np.stack(decoded)) if decoded else []
        sources = [content for content, image in zip(contents, images, strict=True) if not isinstance(image, Problem)]
        predictions = map(self._choose, first, self._decoders.map(self._frame_again, sources, decoded, first))
        return [
            dict(image.body()) if isinstance(image, Problem) else self._renderer.to_dict(next(predictions))
            for image in images
        ]

    def close(self) -> None:
        """Stop the decoder threads."""
        self._decoders.shutdown()

    def _frame_again(self, content: bytes, usual: NDArray[np.uint8], first: Prediction) -> Sequence[NDArray[np.uint8]]:
        """Return the other framings of a picture if the usual one is unfamiliar."""
        if first.is_familiar is not False or self._other_framings is None:
            return ()
        return self._other_framings(self._decode(content), usual)

    def _choose(self, first: Prediction, framings: Sequence[NDArray[np.uint8]]) -> Prediction:
        """Return the prediction of the most familiar framing."""
        predictions = [first]
        if framings:
            predictions += self._classifier.run(np.stack(framings))
        return predictions[choose_framing([prediction.familiarity or 0.0 for prediction in predictions])]

    def _prepare_file(self, content: bytes) -> NDArray[np.uint8] | Problem:
        try:
            check_size(content, self._settings.max_body_bytes)
            return self._prepare(self._decode(content))
        except Problem as problem:
            return problem

    def _decode(self, content: bytes) -> Image.Image:
        image = open_image(content, max_pixels=self._settings.max_pixels)
        return decode_picture(image, draft_side=self._draft_side)
