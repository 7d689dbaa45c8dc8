"""Cross-origin requests from browsers (CORS), if ``CLASSIFIER_CORS_ORIGINS`` is set."""

from starlette.middleware.cors import CORSMiddleware

from service.http.request import App
from service.settings import Settings


def allow_origins(app: App, settings: Settings) -> App:
    """Return the application, which lets pages of the configured origins call it."""
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=["X-Request-ID", "Server-Timing", "Retry-After"],
    )
