"""Metrics of several workers."""

import subprocess
import sys

from support.paths import ROOT

WORKER = """
from service.metrics import ModelMetrics
from service.metrics_buffer import BUFFER
metrics = ModelMetrics("m", "1")
metrics.queue_length.set({count})
metrics.images.inc({count})
BUFFER.publish()
"""
READER = """
from service.metrics import ModelMetrics, render
ModelMetrics("m", "1").queue_length.set(2)
print(render().decode())
"""


def run(script, folder):
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PROMETHEUS_MULTIPROC_DIR": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_metrics_of_a_dead_worker_keep_counters_but_not_gauges(tmp_path):
    run(WORKER.format(count=5), tmp_path)  # ends without removing its gauges, as a killed worker does
    text = run(READER, tmp_path)
    assert 'classifier_queue_length{model="m",version="1"} 2.0' in text
    assert 'classifier_images_total{model="m",version="1"} 5.0' in text
