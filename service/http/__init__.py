"""Everything that knows HTTP, ASGI or uvicorn."""
