# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A tour: from drawn wells to verdicts, maps, a video and the Bayes generators
#
# Everything here is drawn by the project, so nothing is downloaded. The whole notebook takes less than three minutes on
# two cores without a GPU. It is made from `docs/tour.py`; change that file, then `python docs/make_tour.py`.
#
# Install once: `make env`, or `pip install -e '.[tour,avatars]'`.

# %%
import contextlib
import io
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Image, display

root = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "configs" / "demo.yaml").is_file())
os.chdir(root)  # the root of the repository, also when the notebook is opened inside docs/
work = Path(tempfile.mkdtemp(prefix="tour-"))  # what is drawn and trained
torch.set_num_threads(min(2, os.cpu_count() or 1))


def quietly(function, *arguments):
    """What ``function`` returns, without its progress bars and tables."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        return function(*arguments)


# %% [markdown]
# ## 1. Drawn wells
#
# In the foundry a camera looks at wells of metal. A **normal** well holds rough yellowish metal below a bluish wall. Two
# things go wrong: metal runs **over** the rim, or the well stays **empty**. Clamps, hands and bars are in the way now and
# then, and are no reason for an alarm. `kinds.csv` says what was drawn.

# %%
from mnad.data.reading import read_photo
from mnad.data.synthetic import draw_wells

wells = quietly(
    draw_wells, work / "wells", 0, 500, 40, 120, 40
)  # seed; training, known spills, test normals, test spills
kinds = pd.read_csv(wells / "kinds.csv").set_index("file")["kind"]


def show(pictures, titles, columns=6, size=1.3):
    """Pictures in lines of ``columns``."""
    rows = -(-len(pictures) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(size * columns, size * rows), squeeze=False, dpi=80)
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture, title in zip(axes.flat, pictures, titles, strict=False):
        axis.imshow(picture)
        axis.set_title(title, fontsize=8)
    figure.tight_layout()
    plt.show()


examples = [kinds.index[kinds == kind][0] for kind in ("low", "full", "neck", "bright", "dark", "clamp", "hand", "bar",
                                                       "offcentre", "dim", "overflow", "empty")]  # fmt: skip
show([read_photo(wells / name).pixels for name in examples], [kinds[name] for name in examples])

# %% [markdown]
# ## 2. Train MNAD on the normal ones
#
# MNAD is an autoencoder with a **memory**: each place of the picture (a *query*) is compared with a few learned vectors
# (the *items*), and the picture is rebuilt from what it read there as well. It never sees a spill in training. The
# configuration is that of `make demo`, with fewer wells and one network instead of five.

# %%
import baselines
from baselines.config import TrainWithBaselines
from mnad.experiment import run_experiment
from mnad.run.cli import parse

baselines.register()
config = parse(TrainWithBaselines, ["--config", "configs/demo.yaml", "--members", "1", "--optim.threads", "1"])
run = quietly(run_experiment, replace(config, data=wells, out=work / "run"))
print((run / "table.txt").read_text())
display(Image(run / "loss.png", width=420))

# %% [markdown]
# **TPR** is the share of the spills that are found, **TNR** the share of the normals that pass, each with its 95 %
# interval. `wells` is the score of this project, `mnad` that of the paper.
#
# ## 3. Scores and the threshold
#
# The threshold comes from validation normals and a few known spills (`proliv/`), never from the test. Here is how it was
# chosen, then what the test makes of it.

# %%
from mnad import Detector

detector = Detector.load(run)
print(detector.thresholds["wells"].note)
display(Image(run / "histogram_wells.png", width=420))

table = pd.read_csv(run / "scores.csv")
figure, axis = plt.subplots(figsize=(5, 2), dpi=80)
bins = np.linspace(table["score_wells"].min(), min(table["score_wells"].max(), 6), 40)
for label, name in ((0, "test normals"), (1, "test spills")):
    axis.hist(table.loc[table["label"] == label, "score_wells"].clip(upper=6), bins, alpha=0.6, label=name)
axis.axvline(detector.thresholds["wells"].value, color="k", linestyle="--", label="threshold")
axis.set(xlabel="score", ylabel="wells", yscale="log")
axis.legend()
plt.show()

# %% [markdown]
# A detector judges any picture: files, or arrays.

# %%
paths = sorted((wells / "test" / "imgs").iterdir())[:5]
for verdict in detector.predict(paths):
    path = Path(verdict.path)
    print(f"{path.name}: {verdict.verdict}, score {verdict.score:.2f}; drawn as {kinds[f'test/imgs/{path.name}']}")

# %% [markdown]
# What the network rebuilds, and where it fails. The hardest wells are the ones nearest to the wrong side of the threshold.

# %%
display(Image(run / "reconstructions.png", width=900))

# %% [markdown]
# ## 4. The latent space
#
# Every well as a point (its queries, averaged over the picture), mapped by PCA, t-SNE and UMAP. HDBSCAN looks for clusters
# in the latent space itself, not on the map; the key says how many spills each holds.

# %%
from mnad.latent.config import LatentConfig
from mnad.latent.run import visualize_latent

maps = quietly(
    visualize_latent,
    LatentConfig(checkpoint=run, data=wells, out=work / "latent", images=400, queries=400, reads=60, page=False),
)
display(Image(maps / "images.png", width=900))
print((maps / "images.caption.md").read_text().split("**Reading.** ")[1])

# %% [markdown]
# ## 5. The memory
#
# Where in the picture each item is read. Most items know a *place* (rim, wall, metal), for normal wells and spills alike.

# %%
from mnad.data.images import Images
from mnad.evaluation.items import read_items

display(Image(maps / "items.png", width=900))
test = Images(sorted((wells / "test" / "imgs").iterdir()), detector.config.images.size)
flagged = quietly(detector.score, test) >= detector.thresholds["wells"].value
for item in read_items(detector, test, flagged)[:4]:
    where = np.unravel_index(item.attention.argmax(), item.attention.shape)
    print(
        f"item {item.number}: nearest of {item.share:.0%} of the queries; read most at row {where[0]}, column {where[1]}"
    )

# %% [markdown]
# ## 6. A video
#
# The second variant of MNAD sees four frames and predicts the fifth. Here a square walks over a noisy floor; in the middle
# of the test film it runs. Where the prediction fails, the score rises.

# %%


def film(folder, count, seed, runs=()):
    """``count`` frames of a walking square, which runs in the frames ``runs``."""
    rng, x = np.random.default_rng(seed), seed % 40
    folder.mkdir(parents=True)
    for t in range(count):
        x = (x + (7 if t in runs else 1)) % 40
        frame = rng.integers(60, 70, (32, 48), dtype=np.uint8)
        frame[10:20, x : x + 8] = 200
        cv2.imwrite(str(folder / f"{t:03d}.png"), frame)


videos, runs = work / "videos", range(40, 60)
for seed in range(6):
    film(videos / "training" / "frames" / f"{seed + 1:02d}", 60, 7 * seed)
film(videos / "testing" / "frames" / "01", 90, 5, runs)
np.save(videos / "frame_labels.npy", np.isin(np.arange(90), runs).astype(np.int64)[None])

video_config = parse(
    TrainWithBaselines,
    ["--model.variant=pred", "--model.width=8", "--model.item_dim=64", "--optim.epochs=6", "--optim.learning_rate=1e-3",
     "--threshold.rule=normal_quantile", "--compare=[]", "--optim.threads=2"],
)  # fmt: skip
watched = quietly(run_experiment, replace(video_config, data=videos, out=work / "video"))
print((watched / "table.txt").read_text())
display(Image(watched / "curves.png", width=420))

# %% [markdown]
# Shaded: the frames in which it runs.
#
# ## 7. Bayes: new styles and new avatars
#
# The first part of the course's assignment. Fifty people have a hair style, glasses, clothes and colours (`styles.py`). A
# naive Bayes generator multiplies the shares of each, so every style has a probability.

# %%
from itertools import islice

from bayes import PixelGenerator, StyleGenerator, load_avatars, render, scientific
from styles import styles, styles_count

generator = StyleGenerator(random_state=0).fit(styles, styles_count)
drawn = list(islice(generator, 5))
for style, probability in drawn:
    print(f"P = {probability:.2e}  " + ", ".join(style.values()))
show([render(style) for style, _ in drawn], [f"P = {p:.1e}" for _, p in drawn], columns=5, size=1.5)

# %% [markdown]
# The second generator knows nothing of hair: it takes each value of each pixel from an avatar chosen at random. The
# probability of such a picture is exact, and tiny. One choice per block of pixels keeps more of a face together.

# %%
avatars, _ = load_avatars("avatars", size=(66, 70))
pictures, titles = [], []
for name, how in (("each channel", {}), ("each pixel", {"block": 1}), ("blocks of 10", {"block": 10})):
    for image, log_probability in islice(PixelGenerator(random_state=1, **how).fit(avatars), 2):
        pictures.append(image)
        titles.append(f"{name}\n{scientific(log_probability)}")
show(pictures, titles, columns=6, size=1.6)

# %% [markdown]
# Next: [your own data](your-data.md), [the assignment, step by step](assignment.md), [scores and thresholds](scores.md).
