"""Ordinary images while other clients send the most expensive ones."""

import threading
from io import BytesIO

import httpx
from PIL import Image
from support.served import serve

MNIST = "/v1/models/mnist/classify"


def encoded(size, file_format, **options):
    buffer = BytesIO()
    Image.new("RGB", size, "white").save(buffer, file_format, **options)
    return buffer.getvalue()


def test_costly_images_do_not_stop_the_images_of_others(models_dir):
    costly, ordinary = encoded((7000, 7000), "PNG"), encoded((1200, 900), "JPEG", quality=90)
    stop, statuses = threading.Event(), list[int]()

    def repeat(url):
        with httpx.Client(base_url=url, timeout=300) as client:
            while not stop.is_set():
                statuses.append(client.post(MNIST, content=costly).status_code)

    with serve(models_dir=models_dir, workers=1) as served:
        clients = [threading.Thread(target=repeat, args=(served.url,)) for _ in range(4)]
        for client in clients:
            client.start()
        try:
            with httpx.Client(base_url=served.url, timeout=300) as client:
                responses = [client.post(MNIST, content=ordinary) for _ in range(8)]
        finally:
            stop.set()
            for client in clients:
                client.join()
    assert [response.status_code for response in responses] == [200] * 8
    assert statuses
    assert set(statuses) <= {200, 503}
