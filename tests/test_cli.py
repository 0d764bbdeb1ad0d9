"""The command line: what it prints and writes, that runs repeat and resume to the bit, and what bad calls are told."""

import csv
import json
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

from tinygrad_conv import data
from tinygrad_conv.cli import EXAMPLES, main, parser
from tinygrad_conv.plots import LayerStatistics
from tinygrad_conv.train.images import read_digit
from tinygrad_conv.train.outputs import PICTURES
from tinygrad_conv.train.recipes import INPUT, RECIPES, build
from tinygrad_conv.train.run import Run, load_weights

LAST_LINE = re.compile(r"test accuracy 0\.\d{4} \(\d+/\d+\)")
QUICK = ["train", "mnist", "--limit", "200", "--no-plots"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test has a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_has_an_example_in_the_help():
    lines = [re.split("   +", line.strip())[0] for line in EXAMPLES.splitlines()[1:]]
    examples = [shlex.split(line.partition("tinygrad-conv ")[2]) for line in lines]
    for words in examples:
        parser().parse_args(words)
    commands = re.findall(r"^    (\w+)  ", parser().format_help(), re.M)
    assert len(commands) > 7
    assert {words[0] for words in examples} == set(commands)


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True)


def contents(folder, but=()):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in but}


# ------------------------------------------------------------------------------------------------------------------
# train


def test_train_prints_its_progress_and_ends_with_the_accuracy(capsys):
    assert main([*QUICK, "--epochs", "2"]) == 0
    out, err = capsys.readouterr()
    assert not err  # no bar where there is no terminal
    lines = out.splitlines()
    assert lines[0].startswith("cnn: 13,066 parameters; 180 images to learn from, 20 held out, 200 to test")
    assert [line[:9] for line in lines[1:3]] == ["epoch 1/2", "epoch 2/2"]
    assert LAST_LINE.fullmatch(lines[-1])


def test_a_terminal_shows_a_progress_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main([*QUICK, "--epochs", "1"]) == 0
    assert "epoch 1/1" in capsys.readouterr().err


def test_quiet_prints_the_accuracy_only(capsys):
    assert main([*QUICK, "--epochs", "1", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert LAST_LINE.fullmatch(out.strip())
    assert not err


def test_a_run_leaves_all_its_files_and_a_second_one_the_same_bytes(folder):
    pytest.importorskip("matplotlib")
    for _ in range(2):
        assert main(["train", "mnist", "--limit", "200", "--epochs", "2", "--quiet"]) == 0
    first, second = folder / "runs" / "mnist-cnn", folder / "runs" / "mnist-cnn-2"
    files = {"checkpoint.npz", "graph.svg", "history.csv", "report.html", "settings.json", "weights.npz", *PICTURES}
    pages = {"graph.html", *(f"microscope-{name}.html" for name in ("conv1", "pool1", "conv2", "pool2"))}
    files |= {"results.json", *pages}
    assert set(contents(first)) == files
    timed = {"checkpoint.npz", "report.html"}  # they say how long it took
    assert contents(first, timed) == contents(second, timed)

    assert json.loads((first / "settings.json").read_text())["optimizer"] == "adam"
    rows = list(csv.DictReader((first / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    assert load_weights(first / "weights.npz")[0] == "cnn"
    gradients, activations = json.loads(str(np.load(first / "checkpoint.npz")["about"]))["layers"]
    assert len(gradients["conv1.weight"]) == len(activations["logits"]) == 2
    svg = (first / "graph.svg").read_text()
    assert "4,640 params" in svg
    assert "(1, 24, 24, 16)" in svg

    report = (first / "report.html").read_text()
    assert report.count("data:image/png;base64,") == 2 * len(PICTURES)  # on light and on dark pages
    assert report.count("<svg") == 2  # the learning rate, and the graph
    drawn = re.search(r'<svg style="min-width:(\d+)px[^>]*width="(\d+)pt" height="(\d+)pt"', report)
    assert int(drawn[1]) <= 660 < 2 * int(drawn[3])  # legible without moving it, on a page that is 880 wide
    assert all(f'href="{page}"' in report for page in pages)
    assert all(word in report for word in ("Test loss", "Best epoch", "of 2: validation loss", "Learning rate"))
    assert "13,066" in report
    assert "1,435,658" in report  # FLOPs
    assert not re.search(r"<script|<link|<iframe|@import|(src|href)=.?http", report)


def test_another_seed_gives_another_network(folder):
    for seed in ("0", "1"):
        assert main([*QUICK, "--model", "dense", "--epochs", "1", "--seed", seed, "--name", f"s{seed}"]) == 0
    first, second = (contents(folder / "runs" / name)["weights.npz"] for name in ("s0", "s1"))
    assert first != second


@pytest.mark.parametrize("model", ["keras-convnet", "lenet"])
def test_a_run_stopped_and_resumed_is_the_run_that_never_stopped(model, folder, capsys, monkeypatch):
    common = [*QUICK, "--model", model, "--quiet"]
    assert main([*common, "--epochs", "3", "--out", "whole"]) == 0
    expected = capsys.readouterr().out

    epoch = Run.epoch

    def interrupted(run, images, tell, *more):
        def stop(loss):
            if len(run.history) == 1:
                raise KeyboardInterrupt
            tell(loss)

        epoch(run, images, stop, *more)

    monkeypatch.setattr(Run, "epoch", interrupted)
    assert main([*common, "--epochs", "3", "--out", "parts"]) == 130
    out, err = capsys.readouterr()
    assert LAST_LINE.fullmatch(out.strip())
    assert err == (f"tinygrad-conv: stopped in epoch 2 of 3; to go on: --resume --out parts --name mnist-{model}\n")
    monkeypatch.setattr(Run, "epoch", epoch)
    assert main([*common, "--resume", "--out", "parts", "--name", f"mnist-{model}"]) == 0
    assert capsys.readouterr().out == expected
    whole, parts = (folder / name / f"mnist-{model}" for name in ("whole", "parts"))
    timed = {"checkpoint.npz", "report.html"}
    assert contents(whole, timed) == contents(parts, timed)
    about = [json.loads(str(np.load(path / "checkpoint.npz")["about"])) for path in (whole, parts)]
    assert about[0]["layers"] == about[1]["layers"]


def test_looking_at_the_layers_changes_nothing_in_training(folder, monkeypatch):
    common = [*QUICK, "--model", "keras-convnet", "--epochs", "2", "--quiet"]
    assert main([*common, "--out", "seen"]) == 0
    monkeypatch.setattr(LayerStatistics, "measure", lambda *_: None)
    assert main([*common, "--out", "unseen"]) == 0
    seen, unseen = (contents(folder / name / "mnist-keras-convnet") for name in ("seen", "unseen"))
    assert all(seen[name] == unseen[name] for name in ("weights.npz", "history.csv"))


def test_a_run_stopped_in_its_first_epoch_reports_and_starts_anew(folder, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "epoch", stop)
        assert main([*QUICK, "--epochs", "1"]) == 130
    assert LAST_LINE.fullmatch(capsys.readouterr().out.splitlines()[-1])
    assert (folder / "runs/mnist-cnn/report.html").exists()
    assert main([*QUICK, "--resume"]) == 0
    assert "epoch 1/1" in capsys.readouterr().out


def test_resume_takes_the_newest_run_and_more_epochs(folder, capsys):
    for _ in range(2):
        main([*QUICK, "--model", "dense", "--epochs", "1"])
    assert main(["train", "mnist", "--model", "dense", "--resume", "--epochs", "2", "--no-plots"]) == 0
    assert "epoch 2/2" in capsys.readouterr().out
    lines = [
        len((folder / "runs" / name / "history.csv").read_text().splitlines())
        for name in ("mnist-dense", "mnist-dense-2")
    ]
    assert lines == [2, 3]


def test_without_matplotlib_training_works_and_says_what_is_missing(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["train", "mnist", "--limit", "100", "--model", "dense", "--epochs", "1"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "matplotlib" in line]
    assert len(said) == 1
    assert "pip install 'tinygrad-conv[plots]'" in said[0]
    assert all(name in said[0] for name in PICTURES)
    assert "pip install" in (folder / "runs/mnist-dense/report.html").read_text()


def test_a_loss_that_is_no_number_ends_training_with_one_line(capsys):
    assert main([*QUICK, "--optimizer", "sgd", "--lr", "1e30", "--quiet"]) == 2
    assert capsys.readouterr().err == "tinygrad-conv: error: train: the loss is nan in epoch 1; try --lr 1e+29\n"


def test_the_full_set_is_read_from_a_folder(capsys):
    assert main(["train", "mnist", "--full", "--data-dir", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_models_have_the_published_sizes():
    sizes = {name: build(name).count_parameters(INPUT) for name in RECIPES}
    assert sizes == {"cnn": 13_066, "dense": 7_960, "lenet": 61_706, "keras-convnet": 34_826}


@pytest.mark.parametrize("model", RECIPES)
def test_summary_shows_the_layers(model, capsys):
    assert main(["summary", model]) == 0
    out = capsys.readouterr().out
    assert f"{build(model).count_parameters(INPUT):,}" in out
    assert "logits" in out


# ------------------------------------------------------------------------------------------------------------------
# predict


def test_predict_reads_digits_of_any_kind(capsys):
    image = pytest.importorskip("PIL.Image")
    images, labels = data.mnist().test_images[:6], data.mnist().test_labels[:6]
    pictures = {
        "plain.png": image.fromarray(images[0]),
        "dark.png": image.fromarray(255 - images[1]),
        "large.png": image.fromarray(images[2]).resize((180, 180)),
        "colour.png": image.fromarray(255 - images[3]).resize((90, 120)).convert("RGB"),
        "clear.png": image.merge("LA", (image.new("L", (28, 28), 0), image.fromarray(images[4]))).resize((200, 200)),
        "deep.png": image.fromarray(images[5].astype(np.uint16) * 257),
    }
    for name, picture in pictures.items():
        picture.save(name)
    assert main(["predict", *pictures]) == 0
    out, err = capsys.readouterr()
    for name, label, line in zip(pictures, labels, out.splitlines(), strict=True):
        assert re.fullmatch(rf"{name}: {label} \([01]\.\d{{3}}\)", line)
    notes = [line for line in err.splitlines() if "inverted" in line]
    assert [line.split()[2] for line in notes] == ["dark.png", "colour.png", "clear.png"]


def test_predict_answers_for_the_good_images_and_names_the_bad_ones(folder, capsys):
    image = pytest.importorskip("PIL.Image")
    for name, digit in zip(("a.png", "b.png"), data.mnist().test_images, strict=False):
        image.fromarray(digit).save(name)
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:150])
    assert main(["predict", "a.png", "nothing.png", "b.png", "cut.png"]) == 2
    out, err = capsys.readouterr()
    assert [line[:6] for line in out.splitlines()] == ["a.png:", "b.png:"]
    assert [line.split(": ")[2] for line in err.splitlines()] == ["nothing.png", "cut.png"]
    assert all(line.startswith("tinygrad-conv: error: ") for line in err.splitlines())


def test_predict_asks_a_run_or_a_file(folder, capsys):
    image = pytest.importorskip("PIL.Image")
    image.fromarray(data.mnist().test_images[0]).save("digit.png")
    main([*QUICK, "--epochs", "1"])
    capsys.readouterr()
    for weights in ("runs/mnist-cnn", "runs/mnist-cnn/weights.npz"):
        assert main(["predict", "digit.png", "--weights", weights]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second


def test_predict_says_when_it_is_unsure(folder, capsys):
    image = pytest.importorskip("PIL.Image")
    digits = data.mnist().test_images[:2].astype(float)
    image.fromarray((digits.mean(axis=0)).astype("uint8")).save("both.png")
    empty = np.zeros((28, 28), "uint8")
    empty[14, 14:17] = 255
    image.fromarray(empty).save("empty.png")
    assert main(["predict", "both.png", "empty.png"]) == 0
    both, nothing = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"both.png: \d \(0\.\d{3}\), unsure: perhaps \d \(0\.\d{3}\)", both)
    assert nothing.endswith("unsure: the image is nearly empty")


def test_runs_are_compared_on_one_page(folder, capsys):
    for name, epochs, rate in (("a", "2", "0.002"), ("b", "1", "0.001")):
        main([*QUICK, "--quiet", "--no-plots", "--name", name, "--epochs", epochs, "--lr", rate, "--model", "dense"])
    results = [json.loads((folder / "runs" / name / "results.json").read_text()) for name in "ab"]
    capsys.readouterr()
    assert main(["report", "runs/a", "runs/b"]) == 0
    assert capsys.readouterr().out.strip() == str(pathlib.Path("runs/report.html"))
    page = (folder / "runs" / "report.html").read_text()
    for word in ("Runs compared: a, b", "0.002", "0.001", *(f"{r['accuracy']:.2%}" for r in results)):
        assert word in page
    assert page.count("<svg") == 3
    assert page.count("<circle") == 3  # a run of one epoch is a point
    assert "batch size" not in page  # in which they do not differ
    assert main(["report", "runs/a", "--out", "one.html"]) == 0
    assert main(["report", "runs/a", "runs/a"]) == 2
    assert main(["report", "runs/c"]) == 2
    (folder / "runs" / "b" / "history.csv").write_text("epoch,loss\n1,x\n")
    assert main(["report", "runs/a", "runs/b"]) == 2
    assert "the history of a run" in capsys.readouterr().err


def test_images_of_mnists_size_stay_as_they_are(folder):
    image = pytest.importorskip("PIL.Image")
    digit = data.mnist().test_images[0]
    image.fromarray(digit).save("digit.png")
    read, inverted = read_digit("digit.png")
    np.testing.assert_array_equal(read, (digit / 255).astype(np.float32))
    assert not inverted


def test_predict_without_pillow_names_the_extra(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert main(["predict", "digit.png"]) == 2
    assert "pip install 'tinygrad-conv[plots]'" in capsys.readouterr().err


def test_the_weights_that_come_along_are_small_and_good():
    from tinygrad_conv.train.predict import SHIPPED
    from tinygrad_conv.train.run import predict

    assert SHIPPED.stat().st_size < 200_000
    name, model = load_weights(SHIPPED)
    _, (x, y) = data.mnist().arrays()
    assert name == "cnn"
    assert (predict(model, x[:500]).argmax(axis=1) == y[:500]).mean() > 0.98


# ------------------------------------------------------------------------------------------------------------------
# Bad calls: one line, exit code 2, nothing written


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("", "required: COMMAND"),
        ("trian mnist", "got 'trian'; did you mean train?"),
        ("train", "required: dataset"),
        ("train cifar", "expected one of mnist, got 'cifar'"),
        ("train mnist --model lenett", "got 'lenett'; did you mean lenet?"),
        ("train mnist --optimizer adma", "got 'adma'; did you mean adam?"),
        ("train mnist --epochs -1", "--epochs: expected a whole number from 1 on, got '-1'"),
        ("train mnist --batch-size 1.5", "--batch-size: expected a whole number from 1 on, got '1.5'"),
        ("train mnist --lr nan", "--lr: expected a number above 0, got 'nan'"),
        ("train mnist --seed -1", "--seed: expected a whole number from 0 on"),
        ("train mnist --colour", "unrecognized arguments: --colour"),
        ("train mnist --data-dir .", "--data-dir: expected together with --full"),
        ("train mnist --full --data-dir .", "got no train-images-idx3-ubyte"),
        ("train mnist --out text.txt", "--out: expected a folder that can be written, got text.txt/mnist-cnn"),
        ("train mnist --resume", "no run to go on with, as there is no runs/mnist-cnn"),
        ("train mnist --resume --name nothing", "nothing/settings.json: expected the settings of a run"),
        ("train mnist --resume --out . --name broken", "broken/settings.json: expected the settings of a run"),
        ("train mnist --resume --out . --name old --model dense", "old was trained with --model cnn, got dense"),
        ("train mnist --resume --out . --name old --lr 1", "old was trained with --lr 0.003, got 1.0; leave --lr out"),
        (
            "train mnist --resume --out . --name old",
            "checkpoint.npz: expected a file of weights (.npz), got another kind",
        ),
        ("predict", "required: IMAGE"),
        ("predict nothing.png", "nothing.png: no such file"),
        ("predict text.txt", "text.txt: expected an image such as a PNG, got another kind of file"),
        ("predict cut.png", "cut.png: expected an image that can be read"),
        ("predict blank.png", "blank.png: expected a digit, got an image of one colour"),
        (
            "predict digit.png --weights nothing.npz",
            "nothing.npz: expected a file of weights (.npz), got: No such file",
        ),
        ("predict digit.png --weights text.txt", "text.txt: expected a file of weights (.npz), got another kind"),
        (
            "predict digit.png --weights damaged.npz",
            "damaged.npz: expected a file of weights (.npz), got a damaged one",
        ),
        (
            "predict digit.png --weights other.npz",
            "other.npz: expected the weights of cnn, dense, lenet, keras-convnet",
        ),
        ("summary resnet", "expected one of cnn, dense, lenet, keras-convnet, got 'resnet'"),
    ],
)
def test_bad_calls_get_one_clear_line(call, expected, folder, capsys):
    if call.startswith("predict "):
        image = pytest.importorskip("PIL.Image")
        image.fromarray(data.mnist().test_images[0]).save("digit.png")
        image.new("L", (50, 50), 255).save("blank.png")
        (folder / "cut.png").write_bytes((folder / "digit.png").read_bytes()[:150])
    (folder / "text.txt").write_text("text")
    np.savez("other.npz", a=np.zeros(3))
    np.savez("damaged.npz", a=np.zeros(1000))
    (folder / "damaged.npz").write_bytes((folder / "damaged.npz").read_bytes()[:500])
    for name, text in (("broken", "{"), ("old", '{"model": "cnn", "full": false, "limit": null, "epochs": 3,'
                        '"batch_size": 64, "optimizer": "adam", "lr": 0.003, "decay": 0.8, "seed": 0}')):  # fmt: skip
        (folder / name).mkdir()
        (folder / name / "settings.json").write_text(text)
        (folder / name / "checkpoint.npz").write_text(text)
    before = sorted(folder.rglob("*"))

    assert main(call.split()) == 2
    out, err = capsys.readouterr()
    assert expected in err
    assert err.startswith("tinygrad-conv: error: ")
    assert err.count("\n") == 1
    assert not out
    assert sorted(folder.rglob("*")) == before


# ------------------------------------------------------------------------------------------------------------------
# As a program


def test_help_answers_with_examples_and_imports_nothing_heavy():
    heavy = ["matplotlib", "PIL", "tqdm", "graphviz", "pooch", "tinygrad_conv.nn", "tinygrad_conv.keras"]
    program = f"import sys; from tinygrad_conv.cli import main; main(['--help']); print({heavy} & sys.modules.keys())"
    done = python("-c", program.replace(str(heavy), str(set(heavy))))
    assert done.stdout.splitlines()[-1] == "set()"
    assert "tinygrad-conv predict digit.png" in done.stdout


@pytest.mark.parametrize("command", ["train", "predict", "summary"])
def test_each_command_has_help(command, capsys):
    assert main([command, "--help"]) == 0
    assert "usage: tinygrad-conv" in capsys.readouterr().out


def test_it_runs_as_a_module(folder):
    done = python("-W", "error", "-m", "tinygrad_conv", *QUICK, "--epochs", "1", "--model", "dense")
    assert done.returncode == 0, done.stderr
    assert LAST_LINE.fullmatch(done.stdout.splitlines()[-1])
    assert not done.stderr
    done = python("-m", "tinygrad_conv", "train", "mnist", "--epochs", "0")
    assert (done.returncode, done.stdout) == (2, "")
