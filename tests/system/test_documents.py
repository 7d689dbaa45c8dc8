"""The code blocks of README and docs/how-to, run as printed, with only ports, data, epochs and folders replaced.

The word after a block's language says how it is tested: `serve` starts the server that blocks without a word call,
`train` is training, `experiment` is a training command that is only parsed, `bench`, `pictures`, `corruptions`,
`processors` and `speed` are benchmarks, `error` is a call that returns a problem, and `score` writes a table. `bento`
is tested in test_bento; `container` needs a container engine.
"""

import json
import re
import subprocess
import sys

import pytest
from support.paths import ROOT
from support.served import environment, serve
from support.tools import needs, playwright_node

from benchmarks.measurements import ServerSummary, render_servers
from service.reference import render_pages
from training.__main__ import make_parser
from training.reporting.comparisons import describe_repeats
from training.reporting.ledger import read_runs

BLOCK = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KINDS = {
    None,
    "serve",
    "error",
    "score",
    "train",
    "experiment",
    "bench",
    "pictures",
    "corruptions",
    "processors",
    "speed",
    "bento",
    "container",
}
PICTURE_ROWS = ["| mnist | a shadow across | 3 |", "| cifar10 | in a wide picture | 3 |"]
CORRUPTION_ROWS = ["| Canny edges | 3 |", "| zoom blur | 15 |"]
HOW_TO = [
    path for path in sorted((ROOT / "docs" / "how-to").glob("*.md")) if not path.name.startswith(("add-a", "own"))
]
README = (ROOT / "README.md").read_text()
TEXTS = [README, *(path.read_text() for path in HOW_TO)]
BLOCKS = [(found[1], found[2], found[3]) for text in TEXTS for found in BLOCK.finditer(text)]


def blocks(kind, *languages):
    return [text for language, word, text in BLOCKS if word == kind and language in languages]


@pytest.fixture(scope="module")
def served():
    (command,) = blocks("serve", "sh")
    with serve(*command.split("#")[0].split(), env=environment(device="cpu", workers=1)) as served:
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
    assert {language for language, *_ in BLOCKS} <= {"sh", "python", "js", "json", "text"}


@pytest.mark.parametrize("script", blocks(None, "sh"))
def test_a_command_works_as_printed(served, script):
    printed = run(script.replace("curl ", "curl --fail-with-body --silent --show-error "), served)
    assert printed


def test_the_printed_answer_is_what_the_command_before_it_prints(served):
    command, printed = re.search(r"```sh\n(curl .*?)\n```\n\n```json\n(.*?), \.\.\.", README, re.DOTALL).groups()
    answer = run(command, served)
    numbers = r"\d\.\d+(?:e-\d+)?"  # their last digits are the machine's own
    assert re.sub(numbers, "N", answer).startswith(re.sub(numbers, "N", printed))
    confidence = re.search(r'"confidence":([\d.]+)', printed)[1]
    assert json.loads(answer)["confidence"] == pytest.approx(float(confidence), abs=1e-4)


@pytest.mark.parametrize("script", blocks("error", "sh"))
def test_a_refused_call_is_answered_with_a_problem(served, script):
    assert '"code":"' in run(script, served)


@pytest.mark.parametrize("script", blocks("score", "sh"))
def test_a_folder_is_scored_as_printed(script, tmp_path):
    assert "wrote" in run(script.replace("predictions.csv", str(tmp_path / "predictions.csv")))
    assert (tmp_path / "predictions.csv").read_text().count("\n") > 20


@pytest.mark.parametrize("script", blocks(None, "js"))
def test_a_javascript_example_works_as_printed(served, script, tmp_path):
    (tmp_path / "example.mjs").write_text(script.replace("localhost:3000", served.url.removeprefix("http://")))
    assert run(f"{playwright_node()} {tmp_path / 'example.mjs'}") == "7\n"


@pytest.mark.parametrize("script", blocks("train", "sh"))
def test_a_training_command_publishes_a_version(script, tmp_path):
    name = script.split()[-1]
    options = "--recipe course --epochs 1 --data-dir tests/data --min-accuracy 0"
    options += f" --out {tmp_path} --checkpoint-dir {tmp_path}"
    printed = run(f"{script.strip()} {options}")
    assert "published" in printed
    assert (tmp_path / name / "1" / "model.onnx").is_file()


@pytest.mark.parametrize("script", [line for block in blocks("experiment", "sh") for line in block.splitlines()])
def test_a_command_for_experiments_is_one(script):
    arguments = script.split("#")[0].split()
    assert arguments[:5] == ["uv", "run", "--group", "train", "python"]
    assert make_parser().parse_args(arguments[7:]).run


@needs("wrk", "h2load")
@pytest.mark.parametrize("script", blocks("bench", "sh"))
def test_a_benchmark_prints_its_table(script):
    assert "| errors from 16 connections | 0 |" in run(
        f"{script.strip()} --only errors --seconds 1 --repeats 1", env=environment()
    )


@pytest.mark.parametrize(
    ("script", "rows"),
    [
        *((script, PICTURE_ROWS) for script in blocks("pictures", "sh")),
        *((script, CORRUPTION_ROWS) for script in blocks("corruptions", "sh")),
    ],
)
def test_measurements_of_accuracy_are_a_table(script, rows):
    data = ROOT / "tests" / "data"
    done = subprocess.run(
        ["bash", "-c", f"{script.strip()} --data-dir {data} --count 3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert [row for row in rows if row not in done.stdout] == []


@pytest.mark.parametrize("script", blocks("speed", "sh"))
def test_the_speed_of_training_is_printed_with_its_profile(script):
    printed = run(f"{script.strip()} --steps 1 --model mnist")
    assert re.search(r"^[\d,]+ images/s over 1 step of 512 images$", printed, re.MULTILINE)
    assert re.search(r"^convolutions and matrix products: \d+% of the time on the", printed, re.MULTILINE)


@pytest.mark.parametrize("script", blocks(None, "python"))
def test_a_python_example_works_as_printed(served, script):
    script = script.replace("localhost:3000", served.url.removeprefix("http://"))
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("script", blocks("processors", "sh"))
def test_the_processors_benchmark_prints_every_file(script):
    printed = run(f"{script.strip()} --models mnist --data-dir tests/data")
    assert "/model.int8.onnx | " in printed


@pytest.mark.parametrize("name", render_pages())
def test_reference_pages_are_up_to_date(name):
    text = (ROOT / "docs" / "reference" / name).read_text()
    assert text == render_pages()[name], "run `uv run python -m service.reference`"


def test_the_servers_table_is_what_was_measured():
    measured = json.loads((ROOT / "docs" / "serving.json").read_text())
    servers = [ServerSummary(**server) for server in measured["servers"]]
    assert render_servers(servers) in (ROOT / "docs" / "serving.md").read_text()
    rows = re.findall(
        r"^\| (.+), (raw|form)(?: body)? \| (\d+) µs \| ([\d,]+) \| ([\d.]+) ms \|$", README, re.MULTILINE
    )
    found = {(name, body, int(us), rate, ms) for name, body, us, rate, ms in rows}
    expected = {
        (server.server.split(",")[0], server.body, round(server.cpu_us), f"{server.rate:,.0f}", f"{server.p99_ms:.1f}")
        for server in servers
    }
    assert len(found) == 5
    assert found <= expected


def test_the_results_table_is_what_the_runs_gave():
    runs = read_runs(ROOT / "docs" / "runs.jsonl")
    versions = {path.parts[-3:-1] for path in (ROOT / "models").glob("*/*/model.onnx")}
    published = {run.model: run for run in runs if (run.model, run.version) in versions}
    published["mnist --recipe course"] = next(run for run in runs if run.recipe == "course" and run.seed == 0)
    expected = {
        name: [
            f"{run.test.accuracy:.2%}",
            describe_repeats(run, runs, lambda run: run.test.accuracy),
            f"{run.test.ece:.2%}",
            f"{run.int8.accuracy:.2%}" if run.int8 else "",
        ]
        for name, run in published.items()
    }
    rows = [line.split("|")[1:-1] for line in README.splitlines() if re.match(r"\| `[\w -]+` \| (MLP|CNN)", line)]
    found = {cells[0].strip(" `"): [cell.strip().replace(" %", "%") for cell in cells[2:6]] for cells in rows}
    assert found == {name: [cell.replace(" %", "%") for cell in cells] for name, cells in expected.items()}


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("[dmt]*/**/*.md")), ids=str)
def test_links_lead_to_files_that_are_there(path):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text())
    inside = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in inside if not (path.parent / link).exists()] == []
