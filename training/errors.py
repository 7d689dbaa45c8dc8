"""The failures a training run reports in one line and answers with exit code 1.

TrainingError
├── DataError          data.py: the data set is not there, or not readable
├── DeviceError        device.py: the device that was asked for is not there
├── TeacherError       distillation.py: the model that shall teach is not published
├── FolderError        folders.py: a folder of the run cannot be written to
├── CheckpointError    checkpoints.py: nothing to resume, it belongs to another run, or it cannot be written
├── ExportError        export.py: the ONNX file is not valid, or computes something else
├── LedgerError        ledger.py: docs/runs.jsonl is spoiled
├── NoAblationError    experiments.py: nobody has said which parts the recipe has
├── NothingToRenderError  experiments.py: no version to render a card of
└── GateError          gate.py: the model does not earn a version
"""


class TrainingError(Exception):
    """A run cannot go on; the message says what was found, what is right and what to do."""
