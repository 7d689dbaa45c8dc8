"""How ours behaves near its limits: the tail, many connections, more than it can answer, minutes of load."""

from benchmarks.cost import DIGIT, PHOTO, WARM_UP_S, Effort, measure
from benchmarks.figures import Figure
from benchmarks.generators import Body, OpenLoop, load_closed, load_open
from benchmarks.servers import OURS, served

CONNECTIONS = (1, 16, 64, 256)
TAIL_CONNECTIONS = (16, 64)
OVERLOAD_CONNECTIONS = 512  # so many requests may wait before the generator itself does
ANSWERED, REFUSED = 200, 503


def measure_tail(effort: Effort, *, seconds: int = 60) -> list[Figure]:
    """Post a digit for a minute: by how much the slowest hundredth is slower than the median."""
    tails: dict[int, list[float]] = {connections: [] for connections in TAIL_CONNECTIONS}
    for _ in range(effort.repeats):
        with served(OURS) as running:
            url, body = running.url("/v1/models/mnist/classify"), Body(content=DIGIT.read_bytes())
            load_closed(url, body, connections=16, seconds=WARM_UP_S)
            for connections, found in tails.items():
                load = load_closed(url, body, connections=connections, seconds=seconds)
                found.append(load.p99_ms / load.p50_ms)
    return [
        Figure(name=f"p99 / p50 at {connections} connections over {seconds} s", values=found, target=4)
        for connections, found in tails.items()
    ]


def count_errors(effort: Effort) -> list[Figure]:
    """Post a digit from few and from many connections."""
    figures = []
    with served(OURS) as running:
        url, body = running.url("/v1/models/mnist/classify"), Body(content=DIGIT.read_bytes())
        for connections in CONNECTIONS:
            loads = [
                load_closed(url, body, connections=connections, seconds=effort.seconds) for _ in range(effort.repeats)
            ]
            name = f"errors at {connections} connections"
            figures.append(Figure(name=name, values=[load.errors for load in loads], target=0))
    return figures


def overload(effort: Effort, *, seconds: int = 30) -> list[Figure]:
    """Send more than can be answered: what is answered still, and how soon, and how soon the rest is refused."""
    figures = []
    for model, image, connections, factor, target in (("cifar10", PHOTO, 32, 3.0, 85), ("mnist", DIGIT, 256, 1.5, 60)):
        answered, admitted, refused, shares = [], [], [], []
        for _ in range(effort.repeats):
            body = Body(content=image.read_bytes())
            peak, load = overload_once(model, body, factor, connections=connections, seconds=seconds)
            answered.append(100 * load.rate(ANSWERED) / peak)
            admitted.append(load.p99_ms(ANSWERED))
            shares.append(100 * load.rate(REFUSED) / (load.rate(ANSWERED) + load.rate(REFUSED)))
            if load.rate(REFUSED):
                refused.append(load.p99_ms(REFUSED))
        load_name = f"{model} at {factor:g}x its peak over {seconds} s"
        name = f"{load_name}: answers a second against the peak"
        figures.append(Figure(name=name, values=answered, target=target, unit="%", at_least=True))
        figures.append(Figure(name=f"{load_name}: p99 of the answers", values=admitted, target=250, unit="ms"))
        figures.append(Figure(name=f"{load_name}: refused", values=shares, unit="%"))
        if refused:
            figures.append(Figure(name=f"{load_name}: p99 of the refusals", values=refused, target=50, unit="ms"))
    return figures


def overload_once(model: str, body: Body, factor: float, *, connections: int, seconds: int) -> tuple[float, OpenLoop]:
    """Return the peak, and what came of ``factor`` times as many requests.

    The peak is the mean of what a closed loop was answered before and after, since machines are not always as fast; its
    ``connections`` keep the model busy and are so few that none is refused.
    """
    with served(OURS, model=model, precision="float32") as running:
        url = running.url(f"/v1/models/{model}/classify")

        def peak() -> float:
            return measure(running, url, body, max(2, seconds // 3), connections=connections)[0].rate

        before = peak()
        load = load_open(url, body, rate=factor * before, connections=OVERLOAD_CONNECTIONS, seconds=seconds)
        return (before + peak()) / 2, load


def measure_start(effort: Effort) -> list[Figure]:
    """Start it several times."""
    values = []
    for _ in range(max(3, effort.repeats)):
        with served(OURS) as running:
            values.append(running.ready_s)
    return [Figure(name="from `bentoml serve` to ready", values=values, target=2, unit="s")]


def measure_memory(effort: Effort, *, seconds: int = 300) -> list[Figure]:
    """Load it for minutes and look at the whole tree's memory."""
    values = []
    for _ in range(effort.repeats):
        with served(OURS) as running:
            for model, image in (("cifar10", PHOTO), ("mnist", DIGIT)):
                url, body = running.url(f"/v1/models/{model}/classify"), Body(content=image.read_bytes())
                load_closed(url, body, connections=16, seconds=seconds // 2)
            values.append(running.memory_mib() * 2**20 / 1e6)
    return [Figure(name=f"memory of the whole tree after {seconds} s of load", values=values, target=400, unit="MB")]
