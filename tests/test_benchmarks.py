"""The benchmarks: every workload builds and runs in our library, on tiny sizes; peers do the same work. No timing."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from benchmarks import cases, cluster, growth, measure, networks, tables, workloads
from benchmarks.contenders import CONTENDERS, floor, ours

NETWORKS = list(networks.NETWORKS)
OTHERS = [(it.kind, case) for it in workloads.WORKLOADS.values() if it.kind in ("chain", "graph", "primitive")
          for case in it.cases]  # fmt: skip


@pytest.fixture
def tiny(monkeypatch):
    """Two images a batch, and small ones where the layers do not say how large."""
    for name, network in networks.NETWORKS.items():
        size = (16, 16, 3) if name == "vgg" or name.startswith("side") else network.input
        monkeypatch.setitem(networks.NETWORKS, name, replace(network, input=size, batch=2))
    for name, calls in cases.PRIMITIVES.items():
        monkeypatch.setitem(cases.PRIMITIVES, name, [call._replace(x=(1, *call.x[1:])) for call in calls])


def losses(step, count=3):
    return [measure._numbers(step())[0] for _ in range(count)]


@pytest.mark.parametrize("case", NETWORKS)
def test_a_network_trains(tiny, case):
    first, second, third = losses(ours.network(case, "eager"))
    assert len({first, second, third}) == 3, "the weights must change"
    np.testing.assert_allclose(losses(ours.network(case, "compiled")), [first, second, third], rtol=1e-4)


@pytest.mark.parametrize(("kind", "case"), OTHERS)
def test_another_workload_runs(tiny, kind, case):
    step = getattr(ours, kind)(case, "eager")
    assert measure._numbers(step()) == measure._numbers(step()), "a step must leave nothing behind"


def test_a_step_of_the_gradient_check_and_of_an_epoch(monkeypatch):
    ours.gradcheck("gradcheck", "eager")()
    monkeypatch.delenv("TINYGRAD_CONV_DATA", raising=False)
    (loss,) = measure._numbers(ours.epoch("256", "eager")())
    assert 1 < loss < 5  # noise in ten classes


@pytest.mark.parametrize("name", growth.cases())
def test_the_growth_of_an_operation_is_measured(name):
    case = growth.cases()[name]
    seconds, work = growth.step(case, 64 if case.first > 1 else 2)
    assert seconds > 0
    assert growth.step(case, 128 if case.first > 1 else 4)[1] > work


def test_growth_is_measured_of_every_primitive():
    ours = {name for name, p in tg.primitives().items() if p.forward.__module__.startswith("tinygrad_conv.")}
    assert ours <= set(growth.cases())
    assert "| `exp` | 1,000 | 2,000 | 0.50 |" in " ".join(tables.of_growth({"exp": (1.0, 2.0, 0.5)}).split())


@pytest.mark.peer
@pytest.mark.parametrize("peer", ["torch", "jax", "mygrad", "autograd"])
@pytest.mark.parametrize("case", ["cnn", "mlp", "lenet", "resblock", "depthwise"])
def test_a_peer_trains_the_same_network(tiny, case, peer):
    contender = CONTENDERS[peer]
    if contender.missing():
        pytest.skip(f"not installed: {', '.join(contender.missing())}")
    try:
        theirs = losses(contender.build("network", case))
    except measure.Unsupported as error:
        pytest.skip(str(error))
    np.testing.assert_allclose(theirs, losses(ours.network(case, "eager")), rtol=1e-5, atol=2e-6)


@pytest.mark.peer
@pytest.mark.parametrize("case", [case for kind, case in OTHERS if kind == "primitive"])
def test_pytorch_computes_the_same_primitive(tiny, case):
    pytest.importorskip("torch", reason="torch is not installed: pip install torch")
    expected = measure._numbers(ours.primitive(case, "eager")())
    for layout in ("torch", "torch channels_last"):
        np.testing.assert_allclose(measure._numbers(CONTENDERS[layout].build("primitive", case)()), expected, rtol=1e-4)


def test_the_floor_has_the_products_of_the_network():
    assert networks.products(networks.NETWORKS["cnn"]) == [(86528, 9, 32), (15488, 288, 64), (128, 1600, 10)]
    assert networks.flops(networks.NETWORKS["mlp"]) == 2 * (2 * 32 * 784 * 10) + 3 * (2 * 32 * 10 * 10)
    assert networks.passes(networks.NETWORKS["mlp"]) == [320, 320]  # relu, and back
    floor.network("mlp", "")()


def test_lenet_has_its_61706_parameters():
    assert sum(weight.size for weight in networks.weights(networks.NETWORKS["lenet"])) == 61706


def test_a_comparison_in_processes_and_its_table():
    contenders = [CONTENDERS["plain"], CONTENDERS["floor"]]
    found, left_out = measure.compare("gradcheck", ["gradcheck"], contenders, threads=1, rounds=1, seconds=0)
    assert [result.contender.name for result in found["gradcheck"]] == ["plain"]
    assert left_out == {"floor": "AttributeError: module 'benchmarks.contenders.floor' has no attribute 'gradcheck'"}
    assert "| plain " in tables.by_contender({1: found})


def test_other_work_is_noticed():
    assert measure._agree([[1.0], [2.0]], [[1.0001], [2.0]])
    assert measure._agree([[1.0]], [[]])
    assert not measure._agree([[1.0], [2.0]], [[1.0], [2.01]])
    assert not measure._agree([[1.0, 5.0]], [[1.0]])
    assert not measure._agree([[1.0]], [[float("nan")]])


def result(name, *times):
    return measure.Result(CONTENDERS[name], list(times), 5.0, 1.0)


def test_ratios_are_medians_round_by_round():
    plain, fast, torch = result("plain", 4, 6, 8), result("fast", 1, 9, 3), result("torch", 2, 2, 2)
    assert tables.ratio(plain, torch) == 3
    assert tables.ratio(fast, torch) == 1.5
    assert tables.ratio(plain, result("torch", 2)) == 2  # of the rounds that both have
    text = tables.by_contender({1: {"cnn": [plain, fast, torch]}})
    assert "plain / it" in text
    assert "fast / it" in text
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    assert rows == [
        ["plain", "6,000", "1.00", "0.38", "5", "1"], ["fast", "3,000", "2.67", "1.00", "5", "1"],
        ["torch", "2,000", "3.00", "1.50", "5", "1"],
    ]  # fmt: skip
    assert "fast" not in tables.by_contender({1: {"cnn": [plain, torch]}})


def test_a_primitive_is_held_against_the_better_layout():
    runs = {1: {
        "conv2d 0 forward": [result("plain", 2.0), result("torch", 4.0), result("torch channels_last", 1.0)],
        "conv2d 1 forward": [result("plain", 8.0), result("torch", 1.0), result("torch channels_last", 4.0)],
    }}  # fmt: skip
    assert "4.00" in tables.by_primitive(runs)


def test_the_cost_per_flop_is_over_the_least():
    runs = {1: {"batch 1": [result("plain", 1.0)], "batch 16": [result("plain", 4.0)]}}
    rows = [line.split("|")[3].strip() for line in tables.by_size(runs).splitlines()[2:]]
    assert rows == ["4.00", "1.00"]


def test_the_page_keeps_its_prose(tmp_path, monkeypatch):
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    monkeypatch.setattr(tables, "PAGE", page)
    tables.write("new")
    tables.write("newer")
    assert page.read_text() == f"before\n{tables.BEGIN}\n\nnewer\n\n{tables.END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="no marks"):
        tables.write("new")


def test_the_real_page_has_the_marks():
    text = tables.PAGE.read_text()
    assert text.index(tables.BEGIN) < text.index(tables.END)


def test_the_command_names_the_workloads():
    run = subprocess.run([sys.executable, "-m", "benchmarks", "nothing"], capture_output=True, text=True)
    assert run.returncode == 2
    assert "unknown workload nothing; choose from cnn, mlp" in run.stderr


def test_a_child_answers_in_json():
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--serve", "plain", "chain", "1"], input="chain\n\n", text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    built, seconds = map(json.loads, run.stdout.splitlines())
    assert len(built["results"]) == 1 + measure.WARM_UP
    assert min(seconds) > 0  # by the clock, and by the processor


@settings(max_examples=60)
@given(
    shares=st.lists(st.integers(1, 9), min_size=1, max_size=6), latency=st.sampled_from([0.0, 1e-6, 1e-3]),
    bandwidth=st.sampled_from([1e6, 1e9]), power=st.integers(0, 10), bucket=st.sampled_from([1, 1 << 16, 1 << 30]),
    data=st.data(),
)  # fmt: skip
def test_what_a_step_costs_on_many_ranks(shares, latency, bandwidth, power, bucket, data):
    """Between its two bounds: all that is computed or sent at once, and all of it one after the other."""
    counts = [data.draw(st.integers(1, 10**6)) for _ in shares]
    one = cluster.Work(0.1, tuple((share / sum(shares), count) for share, count in zip(shares, counts, strict=True)))
    link, ranks = cluster.Link(latency, bandwidth), 2**power
    found = cluster.step(one, link, ranks, bucket)
    alone = sum(link.total(ranks, 4 * count) for count in counts)
    assert max(0.1, link.total(ranks, 4 * sum(counts))) * (1 - 1e-9) <= found <= (0.1 + alone) * (1 + 1e-9)
    assert cluster.step(one, link, 1, bucket) == pytest.approx(0.1)
    apart = cluster.step(one, link, ranks, bucket, overlap=False)
    assert apart == pytest.approx(0.1 + link.total(ranks, 4 * sum(counts)))
    assert cluster.step(one, cluster.Link(latency, 2 * bandwidth), ranks, bucket) <= found * (1 + 1e-9)


def test_the_model_of_a_cluster_has_the_networks_parameters():
    for name in ("cnn", "vgg", "lenet"):
        network = networks.NETWORKS[name]
        one = cluster.work(network, 1.0)
        assert one.parameters == sum(weight.size for weight in networks.weights(network))
        assert sum(share for share, _ in one.layers) == pytest.approx(1)
    assert 25e6 < cluster.resnet50(1, 1.0).parameters < 26e6
