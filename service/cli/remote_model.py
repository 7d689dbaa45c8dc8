"""A model behind a server, for the command line: asked over HTTP, with patience where it is overloaded."""

import math
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx

PATIENCE = 8  # attempts, while the server is overloaded or starting
LONGEST_WAIT_S = 10.0
TIMEOUT_S = 60.0
TOO_MUCH = {  # at once: for the server, for what stands before it, or for the line
    httpx.codes.REQUEST_ENTITY_TOO_LARGE,
    httpx.codes.REQUEST_TIMEOUT,
    httpx.codes.GATEWAY_TIMEOUT,
}


class ServerError(RuntimeError):
    """The server cannot be asked, or refused what was sent as a whole."""


class RemoteModel:
    """The newest version of a model that a server has."""

    def __init__(self, url: str, name: str) -> None:
        """Ask the server for it.

        Raises:
            ServerError: the server cannot be reached, or has no such model.
        """
        try:
            self._client = httpx.Client(base_url=url.rstrip("/"), timeout=TIMEOUT_S)
        except httpx.InvalidURL as error:
            raise ServerError(f"{url}: {error}; expected an address such as http://localhost:3000") from error
        try:
            response = self._request("GET", f"/v1/models/{quote(name, safe='')}")
            card = _checked(response)
            if not {"name", "version", "class_names"} <= card.keys():
                raise ServerError(f"{response.url} is no classifier: its answer is no model card")
        except ServerError:
            self.close()
            raise
        self.name, self.version, self.class_names = card["name"], card["version"], tuple(card["class_names"])

    def classify(self, contents: Sequence[bytes]) -> list[dict[str, Any]]:
        """Return a prediction for each encoded image, or the problem in its place.

        Raises:
            ServerError: the server stays overloaded, or is gone.
        """
        path = f"/v1/models/{self.name}/versions/{self.version}/classify-batch"
        files = [("images", (f"{number}", content)) for number, content in enumerate(contents)]
        response = self._request("POST", path, files=files)
        if response.status_code in TOO_MUCH and len(contents) > 1:
            half = len(contents) // 2
            return [*self.classify(contents[:half]), *self.classify(contents[half:])]
        if response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            return [{"detail": (_read(response) or {}).get("detail", "too large for the server")}]
        found = _checked(response).get("predictions")
        if not isinstance(found, list) or len(found) != len(contents) or not all(map(_is_prediction, found)):
            raise ServerError(f"{response.url} is no classifier: expected {len(contents)} predictions")
        return found

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:  # noqa: ANN401
        for attempt in range(PATIENCE):
            try:
                response = self._client.request(method, path, **arguments)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise ServerError(f"{self._client.base_url} cannot be asked: {error}") from error
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE or attempt == PATIENCE - 1:
                break
            time.sleep(min(LONGEST_WAIT_S, _seconds(response.headers.get("retry-after", "")) * 2**attempt))
        return response


def _seconds(retry_after: str) -> float:
    """Read a Retry-After; a date, or nothing, counts as a second."""
    try:
        seconds = float(retry_after)
    except ValueError:
        return 1.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 1.0


def _is_prediction(found: Any) -> bool:  # noqa: ANN401
    return isinstance(found, dict) and ("label" in found or "detail" in found)


def _checked(response: httpx.Response) -> dict[str, Any]:
    body = _read(response)
    if body is None:
        raise ServerError(f"{response.url} is no classifier: it answered {response.status_code}")
    if response.is_error:
        raise ServerError(f"{response.url} answered {response.status_code}: {body.get('detail', body)}")
    return body


def _read(response: httpx.Response) -> dict[str, Any] | None:
    """Return the object that the body holds, if it holds one."""
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
