"""HTTP client of a remote model, with retries during overload."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import httpx

PATIENCE = 8  # attempts, while the server is overloaded or starting
LONGEST_WAIT_S = 10.0
TIMEOUT_S = 60.0
TOO_MUCH = {  # the batch is too large for the server, for a proxy or for the connection
    httpx.codes.REQUEST_ENTITY_TOO_LARGE,
    httpx.codes.REQUEST_TIMEOUT,
    httpx.codes.GATEWAY_TIMEOUT,
}


class ServerError(RuntimeError):
    """The server cannot be reached, or rejected the whole request."""


class RemoteModel:
    """The newest version of a model on a server."""

    def __init__(self, url: str, name: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Request the model's card from the server.

        Args:
            url: address of the server; without a scheme, http is assumed.
            name: name of the model.
            sleep: waits for a number of seconds between attempts.

        Raises:
            ServerError: the server cannot be reached or does not have the model.
        """
        self._sleep = sleep
        self._client = httpx.Client(base_url=_parse_url(url), timeout=TIMEOUT_S)
        try:
            response = self._request("GET", f"/v1/models/{quote(name, safe='')}")
            card = _parse_success(response)
            if not {"name", "version", "class_names"} <= card.keys():
                raise ServerError(f"{response.url} is not a classifier: the response is not a model card")
        except ServerError:
            self.close()
            raise
        self.name, self.version, self.class_names = card["name"], card["version"], tuple(card["class_names"])

    def classify(self, contents: Sequence[bytes]) -> list[dict[str, Any]]:
        """Return a prediction or a problem for each encoded image.

        Raises:
            ServerError: the server remains overloaded or cannot be reached.
        """
        path = f"/v1/models/{self.name}/versions/{self.version}/classify-batch"
        files = [("images", (f"{number}", content)) for number, content in enumerate(contents)]
        response = self._request("POST", path, files=files)
        if response.status_code in TOO_MUCH and len(contents) > 1:
            half = len(contents) // 2
            return [*self.classify(contents[:half]), *self.classify(contents[half:])]
        if response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            return [{"detail": (_parse(response) or {}).get("detail", "too large for the server")}]
        predictions = _parse_success(response).get("predictions")
        if (
            not isinstance(predictions, list)
            or len(predictions) != len(contents)
            or not all(map(_is_prediction, predictions))
        ):
            raise ServerError(f"{response.url} is not a classifier: expected {len(contents)} predictions")
        return predictions

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:  # noqa: ANN401
        for attempt in range(PATIENCE):
            try:
                response = self._client.request(method, path, **arguments)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise ServerError(f"cannot reach {self._client.base_url}: {error}") from error
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE or attempt == PATIENCE - 1:
                break
            self._sleep(min(LONGEST_WAIT_S, _parse_retry_after(response.headers.get("retry-after", "")) * 2**attempt))
        return response


def _parse_url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text if "://" in text else f"http://{text}")
    except httpx.InvalidURL as error:
        raise ServerError(f"{text}: {error}; expected an address such as http://localhost:3000") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise ServerError(f"{text}: expected an address such as http://localhost:3000")
    return url


def _parse_retry_after(retry_after: str) -> float:
    """Parse a Retry-After header; a date or an empty value counts as 1 s."""
    try:
        seconds = float(retry_after)
    except ValueError:
        return 1.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 1.0


def _is_prediction(item: Any) -> bool:  # noqa: ANN401
    return isinstance(item, dict) and ("label" in item or "detail" in item)


def _parse_success(response: httpx.Response) -> dict[str, Any]:
    body = _parse(response)
    if body is None:
        raise ServerError(f"{response.url} is not a classifier: status {response.status_code} without a JSON object")
    if response.is_error:
        raise ServerError(f"{response.url}: status {response.status_code}: {body.get('detail', body)}")
    return body


def _parse(response: httpx.Response) -> dict[str, Any] | None:
    """Return the JSON object in the body, or None."""
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
