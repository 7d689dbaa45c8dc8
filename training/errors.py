"""Base class of the failures that a command reports in one line (exit code 1).

TrainingError
├── DataError             data/datasets.py: the data set is missing or unreadable
├── DeviceError           device.py: the requested device is unavailable
├── TeacherError          fitting/distillation.py: the teacher is not published
├── AdoptionError         adoption/source.py: a file of another project cannot be adopted
├── FolderError           pipeline/folders.py: a folder of the run is not writable
├── CheckpointError       fitting/checkpoints.py: missing, unreadable, not writable, or of another run
├── ExportError           export/onnx_file.py: the ONNX file is invalid or differs from PyTorch
├── GateError             evaluation/gate.py: the model failed a release gate
├── LedgerError           reporting/ledger.py: docs/runs.jsonl is corrupt
├── NoAblationError       pipeline/experiments.py: the model has no list of ablations
├── NotPublishedError     reporting/ledger.py: the model has no published version
├── RequantizationError   pipeline/requantization.py: the int8 graph cannot be created
└── NoConvolutionError    study/filters.py: the model has no convolution to draw
"""


class TrainingError(Exception):
    """A run cannot continue; the message says what happened and what to do."""
