"""README's blocks, run as printed: only the port, and for training the data, epochs and folder, are replaced.

The word after a block's language says what it is: `serve` starts the server that the plain blocks call, `train` is
training, `bench` a benchmark; `container` needs an engine that CI has not, and `test` would run this very test.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from served import ROOT, environment, serve

BLOCK = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KINDS = {None, "serve", "train", "bench", "container", "test"}
README = (ROOT / "README.md").read_text()
BLOCKS = [(found[1], found[2], found[3]) for found in BLOCK.finditer(README)]


def blocks(kind, *languages):
    return [text for language, word, text in BLOCKS if word == kind and language in languages]


@pytest.fixture(scope="module")
def served():
    (command,) = blocks("serve", "sh")
    with serve(*command.split("#")[0].split(), env=environment(device="cpu"), workers=1) as served:
        yield served


def run(script, served=None, **arguments):
    if served is not None:
        script = script.replace("localhost:3000", served.url.removeprefix("http://"))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, **arguments
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_block_is_of_a_kind_that_says_whether_it_is_run():
    assert BLOCKS
    assert {kind for _, kind, _ in BLOCKS} <= KINDS
    assert {language for language, *_ in BLOCKS} <= {"sh", "python", "json", "text"}


@pytest.mark.parametrize("script", blocks(None, "sh"))
def test_a_command_works_as_printed(served, script):
    printed = run(script.replace("curl ", "curl --fail-with-body --silent --show-error "), served)
    assert printed


@pytest.mark.parametrize("script", blocks(None, "python"))
def test_a_python_example_works_as_printed(served, script):
    script = script.replace("localhost:3000", served.url.removeprefix("http://"))
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_no_path_that_is_named_is_missing():
    for path in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_settings_table_is_the_settings_class():
    from service.settings import Settings

    rows = dict(re.findall(r"^\| `CLASSIFIER_(\w+)` \| (.*?) \|", README, re.MULTILINE))
    assert [name.lower() for name in rows] == list(Settings.model_fields)
