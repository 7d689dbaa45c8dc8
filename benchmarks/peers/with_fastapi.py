"""A FastAPI service after its page "Request Files", on uvloop and httptools."""

from fastapi import FastAPI, UploadFile

from benchmarks.peers.onnx_model import load_model

app = FastAPI()
model = load_model()


@app.get("/ready")
async def ready() -> str:
    """Respond once the model is loaded."""
    return "ok"


@app.post("/classify")
async def classify(image: UploadFile) -> dict[str, object]:
    """Classify one image."""
    return model.render(model.run(model.decode(await image.read())[None])[0])
