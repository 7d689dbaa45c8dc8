"""Everything that the service uses of BentoML's internals; docs/dependencies.md lists the tested versions."""

from pathlib import Path

import bentoml

SWAGGER_UI = Path(bentoml.__file__).parent / "_internal" / "server" / "static_content"  # files of the page at /docs
