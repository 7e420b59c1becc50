"""Baselines: each model's own equations, and the one interface that all methods keep."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from layouts_on_disk import SIZE, fill

from baselines.config import MemAEConfig
from baselines.memae import MemAE, hard_shrink
from baselines.method import Method
from baselines.patchcore import CoarsePatchCore, PatchCore, coreset
from baselines.pca import Linear
from baselines.reconstruction import offered_scores
from baselines.registry import all_methods, build_method
from baselines.vae import VAE
from mnad.config import DetectorConfig, ImageConfig, ModelConfig, OptimConfig, mnad_score, wells_score
from mnad.data.images import Images
from mnad.model.build import build_model
from mnad.model.efficientnet import PACKAGE
from mnad.run import UserError
from mnad.training.losses import loss_terms, loss_weights, total_loss

CONFIG = DetectorConfig(model=MemAEConfig(width=2, item_dim=8, memae_items=20), images=ImageConfig(*SIZE, 0.25))
OPTIM = OptimConfig(epochs=2, batch_size=4, device="cpu")
FROZEN = {"padim", "patchcore", "patchcore_coarse"}
WITH_MAPS = {"mnad", "conv_ae", "vae", "memae", "mean_image", "pca", *FROZEN}  # a new method may have none
PRETRAINED = FROZEN if importlib.util.find_spec(PACKAGE) is None else set()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Images]:
    root = tmp_path_factory.mktemp("images")
    fill(root / "train", 24, 0)
    fill(root / "good", 6, 100)
    fill(root / "bad", 6, 200, spot=True)
    return {name: Images(sorted((root / name).iterdir()), SIZE) for name in ("train", "good", "bad")}


def build(name: str, folder: Path, seed: int = 0):
    return build_method(name, CONFIG, OPTIM, seed, folder)


# --- the interface ---


@pytest.mark.parametrize("name", [name for name in all_methods() if name not in PRETRAINED])
def test_every_method_keeps_the_interface(name: str, sets: dict[str, Images], tmp_path: Path) -> None:
    method = build(name, tmp_path)
    method.fit(sets["train"])
    scores = method.score_all(sets["bad"])
    primary = method.score(sets["bad"])
    assert np.array_equal(primary, scores[method.primary])
    assert primary.shape == (6,) and primary.dtype == np.float64 and np.isfinite(primary).all()
    plain = next(iter(scores))
    assert method.score_all(sets["good"])[plain].max() < scores[plain].min()  # the square is as bright as can be
    assert method.parameters > 0 or type(method).parameters is Method.parameters  # 0: a new method says none
    assert method.parameters > 0 or name not in {*WITH_MAPS, "pixel_knn"}
    images = sets["bad"].batch(np.arange(3))
    maps = method.anomaly_map(images)
    if maps is None:
        assert name not in WITH_MAPS
        assert type(method).anomaly_map is Method.anomaly_map  # it does not claim to have one
    else:
        assert maps.shape == (3, *SIZE) and maps.dtype == np.float32
        sharp = 1.5 if name != "patchcore_coarse" else 1.2  # whose map of such a small image has 4 x 6 positions
        assert (maps[:, 4:10, 6:14].mean(axis=(1, 2)) > sharp * maps[:, :, 18:].mean(axis=(1, 2))).all()


@pytest.mark.parametrize("name", [name for name in all_methods() if name not in PRETRAINED])
def test_same_seed_same_scores(name: str, sets: dict[str, Images], tmp_path: Path) -> None:
    found = []
    for run in range(2):
        method = build(name, tmp_path, seed=3)
        method.fit(sets["train"].subset(range(8)), sets["train"].subset(range(8, 12)))
        torch.manual_seed(run)  # nothing may hang on the global state
        found.append(method.score(sets["good"]))
    assert np.array_equal(*found)


def test_unknown_method(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"methods: expected some of mnad, .*conv_ae, vae, memae, mean_image, pca.*, got 'resnet'"
    ):
        build("resnet", tmp_path)


def test_scores_are_offered_only_where_all_terms_exist() -> None:
    scores = {"wells": wells_score(), "mnad": mnad_score()}
    assert list(offered_scores(scores, gives=["image", "distance"])) == ["psnr", "wells", "mnad"]
    assert list(offered_scores(scores, gives=["image"])) == ["psnr", "wells"]


# --- variational autoencoder ---


def test_vae_samples_in_training_only_and_its_kl_is_the_gaussian_one() -> None:
    torch.manual_seed(0)
    model, x = VAE(2, 8), torch.rand(3, 3, *SIZE) * 2 - 1
    assert not torch.equal(model(x).output, model(x).output)
    model.eval()
    assert torch.equal(model(x).output, model(x).output)
    mean, log_variance = model.encoder(x)[0].chunk(2, dim=1)
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0, 1)).sum() / x.numel()
    assert model(x).extra_losses["kl"].item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize(("name", "term"), [("vae", "kl"), ("memae", "entropy")])
def test_the_extra_loss_counts_with_its_weight(name: str, term: str) -> None:
    torch.manual_seed(0)
    model = build_model(replace(CONFIG.model, name=name))
    x = torch.rand(2, 3, *SIZE) * 2 - 1
    terms = loss_terms(model(x), x)
    assert set(terms) == {"pixel", term} and terms[term] > 0
    weight = model.loss_weights[term]
    assert total_loss(terms, loss_weights(model, OPTIM)).item() == pytest.approx(
        (terms["pixel"] + weight * terms[term]).item()
    )
    total_loss(terms, {term: 1.0}).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", ["vae", "memae"])
def test_prediction_with_a_model_that_only_reconstructs(name: str) -> None:
    with pytest.raises(UserError, match=f"^model.variant: 'pred' with model.name '{name}'; expected 'recon'$"):
        build_model(ModelConfig(name, variant="pred"))


# --- MemAE ---


def test_hard_shrinkage_cuts_small_weights_and_keeps_the_sum() -> None:
    weights = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.25, 0.25, 0.25, 0.25]])
    found = hard_shrink(weights, 0.2)
    assert found[0].tolist() == pytest.approx([0.625, 0.375, 0, 0], abs=1e-5)
    assert found.sum(dim=1).tolist() == pytest.approx([1, 1])


def test_memae_addressing_is_sparse_and_its_decoder_sees_items_only() -> None:
    torch.manual_seed(0)
    model, x = MemAE(2, 8, 20).eval(), torch.rand(2, 3, *SIZE) * 2 - 1
    out = model(x)
    assert out.attention.shape == (2 * 2 * 3, 20)
    assert (out.attention == 0).float().mean() > 0.2 and out.attention.sum(dim=1).allclose(torch.ones(12))
    assert torch.equal(out.read.flatten(0, 2), out.attention @ model.items)
    assert "items" in dict(model.named_parameters())  # learnt, unlike MNAD's
    with torch.no_grad():
        model.items.copy_(model.items[:1].expand_as(model.items))
    same = model(x).output  # all items alike: whatever goes in, one picture comes out
    assert torch.allclose(same[0], same[1], atol=1e-6)


def test_memae_refuses_no_items() -> None:
    with pytest.raises(UserError, match=r"model\.memae_items: expected at least 1, got 0"):
        build_model(MemAEConfig("memae", memae_items=0))


# --- PCA and PatchCore ---


def test_linear_module_is_the_orthogonal_projection() -> None:
    rng = np.random.default_rng(0)
    components = torch.from_numpy(np.linalg.qr(rng.normal(size=(24, 3)))[0].T).float()
    model = Linear(torch.full((24,), 0.5), components)
    inside = 0.5 + torch.tensor([[1.0, -2.0, 3.0]]) @ components
    x = inside.view(1, 3, 2, 4)
    assert torch.allclose(model(x).output, x, atol=1e-5)
    residual = torch.randn(1, 24)
    residual -= residual @ components.T @ components
    assert torch.allclose(model(x + residual.view_as(x)).output, x, atol=1e-5)


def test_coreset_takes_the_farthest_first_and_none_twice() -> None:
    corners = torch.tensor([[0.0, 0], [0, 10], [10, 0], [10, 10]])
    patches = torch.cat([corners + 0.01 * torch.randn(4, 2) for _ in range(25)])
    chosen = coreset(patches, 4, seed=0)
    assert {tuple((patches[i] / 10).round().int().tolist()) for i in chosen} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert len(set(coreset(patches, 100, seed=0).tolist())) == 100
    assert len(coreset(torch.zeros(5, 2), 9, seed=0)) == 5


@pytest.mark.skipif("patchcore" in PRETRAINED, reason="the extra 'pretrained' is not installed")
def test_patchcore_knows_what_it_has_stored(sets: dict[str, Images], tmp_path: Path) -> None:
    method = PatchCore(CONFIG, OPTIM, 0, tmp_path)
    method.fit(sets["good"])
    assert method.score(sets["good"]).max() < 0.05 * method.score(sets["bad"]).min()


@pytest.mark.skipif("patchcore" in PRETRAINED, reason="the extra 'pretrained' is not installed")
def test_coarse_patchcore_has_strides_of_its_own(sets: dict[str, Images], tmp_path: Path) -> None:
    images = sets["good"].batch([0])
    found = [kind(CONFIG, OPTIM, 0, tmp_path).features(images).shape for kind in (PatchCore, CoarsePatchCore)]
    assert [shape[1] for shape in found] == [40 + 112, 112 + 320]
