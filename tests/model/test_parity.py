"""Our MNAD against values computed by the official code (tests/golden/mnad_golden.npz), and its switches."""

import functools

import numpy as np
import pytest
import torch
from official_names import GOLDEN, PARAMETERS, small_official
from torch import Tensor
from torch.nn import functional as F

from mnad.config import mnad_score
from mnad.evaluation.frames import regular_score, video_scores
from mnad.model.memory import Memory
from mnad.model.mnad import MNAD, Output
from mnad.model.official import load_official, our_name
from mnad.run import UserError
from mnad.scoring.scores import Score
from mnad.scoring.terms import FeatureDistance, Psnr

VARIANTS = ("recon", "pred")


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "mnad_golden.npz") as file:
        return {name: file[name] for name in file.files}


@functools.cache
def official_weights(variant: str) -> dict[str, Tensor]:
    """The state dict of the golden values: seeded noise of a size that keeps activations in range."""
    weights = {}
    for i, (name, shape) in enumerate(PARAMETERS[variant].items()):
        r = np.random.RandomState(1000 + i).standard_normal(shape)
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(0)
            continue
        if name.endswith("running_var"):
            value = 1 + 0.1 * r**2
        elif name.endswith(("running_mean", "bias")):
            value = 0.1 * r
        elif len(shape) == 1:
            value = 1 + 0.1 * r
        else:
            value = r * np.sqrt(2 / (9 * shape[1]))
        if name == "decoder.moduleDeconv1.6.weight":
            value = 0.1 * value
        weights[name] = torch.tensor(value, dtype=torch.float32)
    return weights


def official_items() -> Tensor:
    items = np.random.RandomState(2).uniform(0, 1, (10, 512))
    return torch.tensor(items / np.linalg.norm(items, axis=1, keepdims=True), dtype=torch.float32)


def official_input(variant: str) -> Tensor:
    channels = {"recon": 3, "pred": 12}[variant]
    return torch.tensor(np.random.RandomState(1).uniform(-1, 1, (2, channels, 32, 48)), dtype=torch.float32)


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def evaluated(variant: str) -> tuple[MNAD, Output, Tensor]:
    model = load_official(official_weights(variant), official_items(), variant).eval()
    raw = []
    model.encoder.register_forward_hook(lambda module, args, result: raw.append(result[0]))
    with torch.no_grad():
        out = model(official_input(variant))
    return model, out, raw[0]


def train_step(variant: str, x: Tensor) -> tuple[MNAD, Output, Tensor]:
    """Model, output and golden loss after one backward pass in train mode."""
    model = load_official(official_weights(variant), official_items(), variant).train()
    out = model(x)
    loss = F.mse_loss(out.output, x[:, :3]) + 0.1 * out.compactness + 0.1 * out.separateness
    loss.backward()
    return model, out, loss


@pytest.fixture(scope="module")
def trained(variant: str) -> tuple[MNAD, Output, Tensor]:
    return train_step(variant, official_input(variant))


def check(value: Tensor, expected: np.ndarray, relative: float = 1e-5) -> None:
    """Equal shapes, and a difference that is small against the norm of the expected array."""
    value = value.detach().numpy()
    assert value.shape == expected.shape
    assert np.linalg.norm(value - expected) <= relative * np.linalg.norm(expected)


def test_eval_mode(variant: str, evaluated: tuple[MNAD, Output, Tensor], golden: dict[str, np.ndarray]) -> None:
    model, out, features = evaluated
    expected = {name.removeprefix(f"{variant}_eval_"): golden[name] for name in golden if f"{variant}_eval" in name}
    check(out.output, expected["output"], 2e-5)
    check(features.sum(dim=(2, 3)), expected["feature_sum"])
    check(out.compactness, expected["compactness"])
    check(out.attention, expected["weights_memory"])
    queries = out.queries.flatten(0, 2)
    check(model.memory.updated(queries, queries @ model.memory.items.T), expected["memory_after_update"])
    assert out.separateness is None and out.updated_items is None
    assert torch.equal(model.memory.items, official_items())  # a forward pass changes no item


def test_train_mode(variant: str, trained: tuple[MNAD, Output, Tensor], golden: dict[str, np.ndarray]) -> None:
    model, out, loss = trained
    for name, value in {
        "output": out.output,
        "compactness": out.compactness,
        "separateness": out.separateness,
        "memory": out.updated_items,
        "loss": loss,
    }.items():
        check(value, golden[f"{variant}_train_{name}"], 2e-5 if name == "output" else 1e-5)
    assert torch.equal(model.memory.items, official_items())  # the loop writes them, not the forward pass


def test_gradient_norms(variant: str, golden: dict[str, np.ndarray]) -> None:
    """To 1e-5 relative in the last convolution; behind ReLUs to 1e-4, for one of several inputs jittered by a rounding.

    A float32 gradient of a ReLU network is not determined better than that: an activation that rounds to the other
    side of zero switches its unit. Moving the input by one unit in the last place moves our own norms by 1e-5 to
    7e-4, and the golden ones are 2e-4 away from the float64 result. So the input is jittered by one such unit until a
    run switches as the golden one did (one run in twenty does). In prediction, with PyTorch's own convolutions instead
    of oneDNN's, channels last and two threads, the untouched input agrees to 4e-7 in all four.
    """
    prefix = f"{variant}_grad_norm/"
    expected = {our_name(k.removeprefix(prefix)): v.item() for k, v in golden.items() if k.startswith(prefix)}
    assert len(expected) == 4
    last = our_name("decoder.moduleDeconv1.6.weight")
    x = official_input(variant)
    closest = np.inf
    for seed in range(60):
        up = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) >= (0.5 if seed else 1.0)
        model, _, _ = train_step(variant, torch.where(up, x.nextafter(torch.full_like(x, 2.0)), x))
        parameters = dict(model.named_parameters())
        relative = {name: abs(parameters[name].grad.norm().item() / value - 1) for name, value in expected.items()}
        assert relative[last] <= 1e-5
        assert max(relative.values()) <= (1e-3 if seed else 5e-4)  # whatever the rounding; the untouched input
        closest = min(closest, max(relative.values()))
        if closest <= 1e-4:
            break
    assert closest <= 1e-4


def test_memory_alone(golden: dict[str, np.ndarray]) -> None:
    memory = Memory(4, 16)
    memory.update(torch.from_numpy(golden["mem_items"]))
    features = torch.from_numpy(golden["mem_query"])
    queries = F.normalize(features, dim=1).permute(0, 2, 3, 1)
    flat = queries.reshape(-1, 16)
    read, attention, score = memory.read(flat)
    joined = torch.cat((queries, read.view_as(queries)), dim=-1).permute(0, 3, 1, 2)
    check(joined, golden["mem_read"])
    check(attention, golden["mem_w_memory"])
    check(torch.softmax(score, dim=0), golden["mem_w_query"])
    check(memory.updated(flat, score), golden["mem_updated"])
    check(memory.compactness(flat, score), golden["mem_compactness"])
    check(memory.separateness(flat, score), golden["mem_separateness"])


def test_scores(golden: dict[str, np.ndarray]) -> None:
    target = torch.zeros(12, 3, 2, 2)
    shift = 2 * torch.from_numpy(golden["score_mse"]).sqrt().view(-1, 1, 1, 1)  # [0, 1] images have half the error
    distance = torch.from_numpy(golden["score_feature_distance"]).view(-1, 1, 1)
    out = Output((target + shift).double(), queries=distance, skips=(), distance=distance)
    check(-Psnr()(target, out), golden["score_psnr"])
    check(FeatureDistance()(target, out), golden["score_feature_distance"])
    raw = Score(mnad_score("pred")).raw(target, out).numpy()
    normality = 1 - video_scores(Score(mnad_score("pred")), raw)
    check(torch.from_numpy(normality), golden["score_normality_alpha06"])


def test_point_score(golden: dict[str, np.ndarray]) -> None:
    """Official: of the first frame of a batch only; ours gives every frame its own."""
    output, target = (torch.from_numpy(golden[f"score_point_{k}"]) for k in ("output", "target"))
    both = regular_score(output, target)
    check(both[0], golden["score_point"])
    check(regular_score(output[1:], target[1:])[0], both[1].numpy())
    assert regular_score(target, target).tolist() == [0, 0]


# The update rule --------------------------------------------------------------------------------------------------


def slow_update(items: np.ndarray, queries: np.ndarray, over: str, temperature: float = 1.0) -> np.ndarray:
    """Eq. 3 to 5, one loop for each sum."""
    count, total = len(items), len(queries)
    new = np.zeros_like(items)
    nearest = [max(range(count), key=lambda m: float(queries[k] @ items[m])) for k in range(total)]
    for m in range(count):
        exponentials = [np.exp(float(queries[k] @ items[m]) / temperature) for k in range(total)]
        v = [e / sum(exponentials) for e in exponentials]
        assigned = [k for k in range(total) if nearest[k] == m]
        among = range(total) if over == "all" else assigned
        item = items[m].copy()
        for k in assigned:
            item = item + v[k] / max(v[j] for j in among) * queries[k]
        new[m] = item / np.sqrt((item**2).sum())
    return new


def unit(*shape: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


@pytest.mark.parametrize("temperature", [1.0, 0.1])
@pytest.mark.parametrize("over", ["all", "assigned"])
def test_update_against_slow_oracle(over: str, temperature: float) -> None:
    memory = Memory(7, 5, update_normaliser=over, temperature=temperature).double()
    memory.update(unit(7, 5, seed=1))
    # the last item points away from all the queries: it is nearest to none and must stay
    queries = unit(20, 5, seed=2)
    memory.items[6] = F.normalize(-queries.mean(dim=0), dim=0)
    score = queries @ memory.items.T
    assert not (score.argmax(dim=1) == 6).any()
    expected = slow_update(memory.items.numpy(), queries.numpy(), over, temperature)
    np.testing.assert_allclose(memory.updated(queries, score).numpy(), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(memory.updated(queries, score)[6], memory.items[6])


def by_hand(over: str) -> Memory:
    memory = Memory(2, 2, update_normaliser=over).double()
    memory.update(torch.eye(2, dtype=torch.float64))  # p1 = (1, 0), p2 = (0, 1)
    return memory


QUERIES = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]], dtype=torch.float64)


def test_hand_computed_example() -> None:
    """q1 = (1, 0), q2 = (0.8, 0.6), q3 = (0.6, 0.8); the scores are the coordinates themselves.

    Nearest: q1, q2 -> p1, q3 -> p2. Item 1 has its largest v at q1, so v'_1 = 1, v'_2 = e^(0.8 - 1) = 0.8187308:
    p1 + 1 (1, 0) + 0.8187308 (0.8, 0.6) = (2.6549846, 0.4912385), norm 2.7000479. Item 2 has its largest v at q3:
    p2 + (0.6, 0.8) = (0.6, 1.8), norm sqrt(3.6).
    """
    memory = by_hand("all")
    score = QUERIES @ memory.items.T
    expected = [[0.98331020, 0.18193694], [1 / np.sqrt(10), 3 / np.sqrt(10)]]
    np.testing.assert_allclose(memory.updated(QUERIES, score).numpy(), expected, atol=1e-7)
    # Compactness: differences (0, 0), (-0.2, 0.6), (0.6, -0.2): squares sum to 0.8, 6 elements.
    assert memory.compactness(QUERIES, score).item() == pytest.approx(0.8 / 6)
    # Separateness: nearest and second distances are 0, sqrt 2 | sqrt 0.4, sqrt 0.8 | sqrt 0.4, sqrt 0.8.
    hinge = 1 + np.sqrt(0.4) - np.sqrt(0.8)
    assert memory.separateness(QUERIES, score).item() == pytest.approx(2 * hinge / 3, abs=1e-5)
    # Read of q1: weights e / (e + 1) and 1 / (e + 1), which are the read vector itself.
    np.testing.assert_allclose(memory.read(QUERIES).read[0].numpy(), [0.73105858, 0.26894142], atol=1e-8)


def test_update_normaliser_differs_where_the_largest_query_is_not_assigned() -> None:
    """Item 1's largest v is at q1, but q1 is nearer to item 2, so only the paper's rule gives q2 the weight 1."""
    queries = torch.tensor([[0.6, 0.8], [0.5, 0.1]], dtype=torch.float64)  # scores are the coordinates
    new = {over: by_hand(over).updated(queries, queries) for over in ("all", "assigned")}
    weight = np.exp(0.5 - 0.6)
    for over, w in {"all": weight, "assigned": 1.0}.items():
        item = np.array([1 + 0.5 * w, 0.1 * w])
        np.testing.assert_allclose(new[over][0].numpy(), item / np.linalg.norm(item), atol=1e-12)
    torch.testing.assert_close(new["all"][1], new["assigned"][1])


# The switches -----------------------------------------------------------------------------------------------------


def read_gradient(detach: bool) -> Tensor:
    memory = Memory(3, 4, detach_attention=detach).double()
    memory.update(unit(3, 4, seed=4))
    queries = unit(5, 4, seed=5).requires_grad_()
    weight = torch.arange(20, dtype=torch.float64).view(5, 4)
    loss = (memory.read(queries).read * weight).sum() + queries.sum()
    return torch.autograd.grad(loss, queries)[0]


def test_detach_attention_changes_gradients() -> None:
    torch.testing.assert_close(read_gradient(True), torch.ones(5, 4, dtype=torch.float64))  # nothing through the read
    assert not torch.allclose(read_gradient(False), read_gradient(True))


def test_reduction_sums_over_queries_and_channels() -> None:
    queries = unit(6, 4, seed=6)
    losses = {}
    for reduction in ("mean", "sum"):
        memory = Memory(3, 4, reduction=reduction).double()
        memory.update(unit(3, 4, seed=4))
        score = queries @ memory.items.T
        losses[reduction] = memory.compactness(queries, score), memory.separateness(queries, score)
    torch.testing.assert_close(losses["sum"][0], 6 * 4 * losses["mean"][0])
    torch.testing.assert_close(losses["sum"][1], 6 * losses["mean"][1])


def test_temperature_sharpens() -> None:
    queries = unit(6, 4, seed=6)
    sharp, plain = Memory(3, 4, temperature=0.05).double(), Memory(3, 4).double()
    for memory in (sharp, plain):
        memory.update(unit(3, 4, seed=4))
    score = queries @ plain.items.T
    torch.testing.assert_close(sharp.read(queries).attention, torch.softmax(score / 0.05, dim=1))
    torch.testing.assert_close(plain.read(queries).attention, torch.softmax(score, dim=1))


def test_defaults_are_the_official_rule() -> None:
    memory = MNAD(width=2, items=3, item_dim=4).memory
    switches = memory.temperature, memory.detach_attention, memory.update_normaliser, memory.reduction
    assert switches == (1.0, True, "all", "mean")


# Official checkpoints ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "module."])
def test_narrow_checkpoints_load_and_unused_norm_is_optional(prefix: str) -> None:
    weights, items = small_official("pred")
    unused = {f"{prefix}encoder.moduleBatchNorm.weight": torch.zeros(4)}
    model = load_official({prefix + name: value for name, value in weights.items()} | unused, items, "pred")
    assert torch.equal(model.memory.items, items)
    assert torch.equal(model.encoder.stage1[0].weight, weights["encoder.moduleConv1.0.weight"])


def test_official_errors_name_the_parameter() -> None:
    weights, items = small_official()
    name = "decoder.moduleDeconv2.3.bias"
    with pytest.raises(UserError, match=rf"missing {name}$"):
        load_official({k: v for k, v in weights.items() if k != name}, items, "recon")
    with pytest.raises(UserError, match=r"encoder\.moduleConv1\.0\.weight is missing"):
        load_official({}, items, "recon")
    with pytest.raises(UserError, match=r"surplus extra\.weight, decoder\.moduleDeconv2\.9\.bias$"):
        load_official({**weights, "extra.weight": items, "decoder.moduleDeconv2.9.bias": items}, items, "recon")
    with pytest.raises(UserError, match=rf"{name} has shape \(5,\); expected \(4,\)"):
        load_official({**weights, name: torch.zeros(5)}, items, "recon")
    with pytest.raises(UserError, match=r"official items: shape \(3, 5\); expected M x 4"):
        load_official(weights, torch.zeros(3, 5), "recon")
    with pytest.raises(UserError, match=r"\(pred\).*has shape"):  # a checkpoint of the other variant
        load_official(weights, items, "pred")
