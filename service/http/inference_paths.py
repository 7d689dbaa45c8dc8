"""Paths of the classify and infer routes."""

import re

CLASSIFY_METHODS = "OPTIONS, POST"
BENTOML_CLIENT_PATH = "/classify"  # called by BentoML's generated clients; the form names the model

# Groups: 2 for the Open Inference Protocol, model, version, action (none for infer).
PATH = re.compile(r"/v(?:1|(2))/models/([^/]+)(?:/versions/([^/]+))?/(?(1)infer|(classify(?:-batch)?))")
