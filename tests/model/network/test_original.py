"""The original network: its wiring, its curriculum and its checkpoints."""

import argparse
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dancerev.model.body25 import FIRST_POSE
from dancerev.model.features import FEATURE_VERSION
from dancerev.model.network.original import OriginalConfig, OriginalNetwork, load_original, own_frames

TINY = OriginalConfig(
    features=6, pose=4, width=16, heads=2, feed_forward=8, key_width=4, window=3, positions=40, pose_width=5, hidden=8
)


def tiny(**changes):
    torch.manual_seed(0)
    return OriginalNetwork(replace(TINY, **changes)).eval()


def parameters(network):
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def test_published_size():
    """22.18 million learned numbers, as the released checkpoint has."""
    assert parameters(OriginalNetwork(OriginalConfig())) == 22_175_456


def test_attention_sees_a_window_on_both_sides_and_no_more():
    network = tiny()
    features = torch.randn(1, 20, 6)
    before = network.encode(features)
    features[:, 10] += 1.0
    changed = (network.encode(features) - before).abs().amax(dim=(0, 2)) > 1e-6
    assert changed.nonzero().flatten().tolist() == list(range(7, 14))


def test_positions_are_absolute_and_count_from_one():
    network = tiny()
    torch.nn.init.zeros_(network.encoder.src_emb.weight)
    torch.nn.init.zeros_(network.encoder.src_emb.bias)
    table = network.encoder.position_enc.weight
    rate = 10_000 ** (-2 / 16)
    expected = [math.sin(3), math.cos(3), math.sin(3 * rate), math.cos(3 * rate)]
    torch.testing.assert_close(table[3, :4], torch.tensor(expected))
    network.encoder.layer_stack = torch.nn.ModuleList()
    torch.testing.assert_close(network.encode(torch.zeros(1, 5, 6))[0], table[1:6])


def test_long_music_is_encoded_in_windows_that_agree_where_they_meet():
    """Without positions a frame depends on what it sees alone, so that windows give what one pass would."""
    network = tiny(layers=2, positions=40)
    torch.nn.init.zeros_(network.encoder.position_enc.weight)
    whole = tiny(layers=2, positions=200)
    torch.nn.init.zeros_(whole.encoder.position_enc.weight)
    weights = {name: x for name, x in network.state_dict().items() if "position_enc" not in name}
    whole.load_state_dict(weights, strict=False)
    for frames in (41, 100, 173):
        features = torch.randn(2, frames, 6)
        torch.testing.assert_close(network.encode(features), whole.encode(features), atol=1e-6, rtol=1e-6)


def test_what_a_pose_says_takes_three_frames_to_the_output():
    """Each LSTM layer reads what the one below said a frame before; the music goes to the output at once."""
    network = tiny()
    poses, memory = torch.randn(1, 12, 4), network.initial_memory(1)
    own = torch.zeros(12, dtype=torch.bool)
    features, begin = torch.randn(1, 12, 6), torch.zeros(4)
    before = network(features, poses, own, begin, memory)
    poses[:, 5] += 1.0
    changed = (network(features, poses, own, begin, memory) - before).abs().amax(dim=(0, 2)) > 1e-7
    assert changed.nonzero()[0].item() == 7


@pytest.mark.parametrize("own", [0, 3, 100])
@pytest.mark.parametrize("training", [False, True])
def test_training_is_the_loop_over_frames(own, training):
    """The fused pass gives what the decoder says frame by frame, fed as the curriculum has it; so do its gradients."""
    network = tiny(dropout=0.0).train(training)
    features, poses, begin = torch.randn(2, 30, 6), torch.randn(2, 30, 4), torch.randn(4)
    memory, choices = network.initial_memory(2), own_frames(30, own)
    said, made, at = begin.expand(2, -1), [], memory
    music = network.encode(features)
    for t in range(30):
        fed = said.detach() if choices[t] else poses[:, t]
        at = network.decoder.step(network.decoder.tgt_emb(fed), at)
        said = network.emit(at.hidden[-1], music[:, t])
        made.append(said)
    slow, fast = torch.stack(made, 1), network(features, poses, choices, begin, memory)
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-4)
    slow_gradient, fast_gradient = (
        torch.autograd.grad(out.square().sum(), network.decoder.lstm1.weight_hh) for out in (slow, fast)
    )
    torch.testing.assert_close(fast_gradient, slow_gradient, atol=1e-4, rtol=1e-3)


def test_dropout_is_the_same_draw_in_both_passes():
    network = tiny(dropout=0.5).train()
    inputs = torch.randn(1, 10, 6), torch.randn(1, 10, 4), own_frames(10, 4, 2), torch.zeros(4)
    memory = network.initial_memory(1)
    fed = []
    network._fed = lambda *arguments, plain=network._fed: fed.append(plain(*arguments)) or fed[-1]
    made = network(*inputs, memory)
    for t in (1, 2, 3, 7, 8, 9):
        torch.testing.assert_close(fed[0][:, t], made[:, t - 1].detach(), atol=1e-5, rtol=1e-4)


def test_generation_feeds_the_network_its_own_poses():
    network = tiny()
    features, begin, memory = torch.randn(2, 25, 6), torch.randn(4), network.initial_memory(2)
    made = network.generate(features, begin, memory)
    fed = network(features, torch.zeros(2, 25, 4), torch.ones(25, dtype=torch.bool), begin, memory)
    torch.testing.assert_close(made, fed, atol=1e-5, rtol=1e-4)
    other = network.generate(features, begin, network.initial_memory(2, torch.Generator().manual_seed(1)))
    assert (other - made).abs().max() > 1e-3


def test_own_poses_come_first_and_ten_real_ones_follow():
    assert not own_frames(30, 0).any()
    assert own_frames(30, 4).tolist() == ([True] * 4 + [False] * 10) * 2 + [True] * 2


# Names and shapes in a checkpoint of the original's training, here with small sizes.
SHAPES = {
    "module.encoder.src_emb.weight": (16, 6),
    "module.encoder.src_emb.bias": (16,),
    "module.encoder.position_enc.weight": (41, 16),
    **{
        f"module.encoder.layer_stack.{layer}.{name}": shape
        for layer in (0, 1)
        for name, shape in {
            "slf_attn.w_qs.weight": (8, 16),
            "slf_attn.w_qs.bias": (8,),
            "slf_attn.w_ks.weight": (8, 16),
            "slf_attn.w_ks.bias": (8,),
            "slf_attn.w_vs.weight": (8, 16),
            "slf_attn.w_vs.bias": (8,),
            "slf_attn.layer_norm.weight": (16,),
            "slf_attn.layer_norm.bias": (16,),
            "slf_attn.fc.weight": (16, 8),
            "slf_attn.fc.bias": (16,),
            "pos_ffn.w_1.weight": (12, 16, 1),
            "pos_ffn.w_1.bias": (12,),
            "pos_ffn.w_2.weight": (16, 12, 1),
            "pos_ffn.w_2.bias": (16,),
            "pos_ffn.layer_norm.weight": (16,),
            "pos_ffn.layer_norm.bias": (16,),
        }.items()
    },
    "module.decoder.tgt_emb.weight": (5, 4),
    "module.decoder.tgt_emb.bias": (5,),
    "module.decoder.lstm1.weight_ih": (48, 5),
    "module.decoder.lstm1.weight_hh": (48, 12),
    "module.decoder.lstm1.bias_ih": (48,),
    "module.decoder.lstm1.bias_hh": (48,),
    "module.decoder.lstm2.weight_ih": (48, 12),
    "module.decoder.lstm2.weight_hh": (48, 12),
    "module.decoder.lstm2.bias_ih": (48,),
    "module.decoder.lstm2.bias_hh": (48,),
    "module.decoder.lstm3.weight_ih": (48, 12),
    "module.decoder.lstm3.weight_hh": (48, 12),
    "module.decoder.lstm3.bias_ih": (48,),
    "module.decoder.lstm3.bias_hh": (48,),
    "module.linear.weight": (4, 28),
    "module.linear.bias": (4,),
}


@pytest.fixture
def published():
    """What the original's training saves."""
    torch.manual_seed(0)
    args = argparse.Namespace(
        d_frame_vec=6,
        frame_emb_size=16,
        d_model=16,
        d_pose_vec=4,
        pose_emb_size=5,
        d_inner=12,
        d_k=4,
        d_v=4,
        n_head=2,
        n_layers=2,
        lr=1e-4,
        dropout=0.1,
        max_seq_len=40,
        sliding_windown_size=7,
        condition_step=10,
        lambda_v=0.01,
        output_dir="checkpoints",
    )
    weights = {name: 0.1 * torch.randn(shape) for name, shape in SHAPES.items()}
    return {"model": weights, "args": args, "epoch": 5500}


GOLDEN = json.loads((Path(__file__).parent / "golden_original.json").read_text())
"""Outputs of the original's own code (commit 6d0ba39) with the weights and the music of this file."""


def drawn(shapes, seed=0):
    """Weights by name, drawn in the order of the names as they were for the golden numbers."""
    random = np.random.RandomState(seed)
    return {
        name: torch.from_numpy((random.standard_normal(s) / (s[-1] if len(s) > 1 else 10) ** 0.5).astype(np.float32))
        for name, s in sorted(shapes.items())
    }


def second_version(layers, window, features=12):
    """A checkpoint as the second version's training saves it, tiny, with drawn weights."""
    sizes = {"features": features, "width": 24, "layers": layers, "heads": 2, "feed_forward": 32, "key_width": 8}
    config = OriginalConfig(**sizes, window=window, positions=320, hidden=32)
    network = OriginalNetwork(config)
    weights = drawn({name: tuple(p.shape) for name, p in network.named_parameters() if p.requires_grad})
    weights["encoder.position_enc.weight"] = network.encoder.position_enc.weight
    args = argparse.Namespace(
        max_seq_len=320,
        d_frame_vec=features,
        frame_emb_size=24,
        d_model=24,
        n_layers=layers,
        n_head=2,
        d_k=8,
        d_v=8,
        d_inner=32,
        dropout=0.1,
        d_pose_vec=50,
        pose_emb_size=50,
        condition_step=10,
        sliding_windown_size=window,
        lambda_v=0.01,
    )
    return {"model": {f"module.{name}": x for name, x in weights.items()}, "args": args, "epoch": 1}


def first_version():
    """As :func:`second_version`, of the first."""
    linear = {"weight": (24, 24), "bias": (24,)}
    layer = {
        **{f"self_attn.{name}{scope}": linear for name in ("query", "key", "value") for scope in ("", "_global")},
        "fc": linear,
        "layer_norm": {"weight": (24,), "bias": (24,)},
        "pos_ffn.w_1": {"weight": (24, 24, 1), "bias": (24,)},
        "pos_ffn.w_2": {"weight": (24, 24, 1), "bias": (24,)},
        "pos_ffn.layer_norm": {"weight": (24,), "bias": (24,)},
    }
    cell = {"weight_ih": (128, 32), "weight_hh": (128, 32), "bias_ih": (128,), "bias_hh": (128,)}
    modules = {
        "encoder.src_emb": {"weight": (24, 12), "bias": (24,)},
        **{f"encoder.layer_stack.{i}.{name}": shapes for i in (0, 1) for name, shapes in layer.items()},
        "decoder.tgt_emb": {"weight": (32, 50), "bias": (32,)},
        **{f"decoder.lstm{i}": cell for i in (1, 2, 3)},
        "linear": {"weight": (50, 56), "bias": (50,)},
    }
    weights = drawn({f"{name}.{kind}": shape for name, shapes in modules.items() for kind, shape in shapes.items()})
    weights["encoder.position_enc.weight"] = OriginalNetwork(
        OriginalConfig(width=24, positions=320)
    ).encoder.position_enc.weight
    args = argparse.Namespace(
        frame_dim=12,
        encoder_hidden_size=24,
        pose_dim=50,
        decoder_hidden_size=32,
        max_seq_len=320,
        num_heads=2,
        num_layers=2,
        window_size=15,
        fixed_steps=10,
        alpha=0.01,
        dropout=0.1,
    )
    return {"model": {f"module.{name}": x for name, x in weights.items()}, "args": args, "epoch": 1}


@pytest.fixture
def music():
    """(1, 300, 12) at the scale of MFCC, and (1, 300, 50) poses."""
    random = np.random.RandomState(1)
    features = torch.from_numpy((60 * random.standard_normal((1, 300, 12)) - 20).astype(np.float32))
    return features, torch.from_numpy(random.standard_normal((1, 300, 50)).astype(np.float32))


def saved(checkpoint, folder):
    torch.save(checkpoint, folder / "epoch_1.pt")
    return load_original(folder / "epoch_1.pt")


def assert_golden(made, expected):
    np.testing.assert_allclose(made[0, GOLDEN["frames"]].detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("layers", "window"), [(1, 20), (1, 90), (2, 20), (2, 90)])
def test_equals_the_published_code(layers, window, music, tmp_path):
    network, golden = saved(second_version(layers, window), tmp_path), GOLDEN["networks"][f"{layers} {window}"]
    features, poses = music
    begin = torch.from_numpy(FIRST_POSE)
    assert_golden(network.encode(features), golden["encoder"])
    for own in (0, 5, 20):
        memory = network.initial_memory(1, torch.Generator().manual_seed(3))
        assert_golden(network(features, poses, own_frames(300, own), begin, memory), golden[f"own {own}"])
    memory = network.initial_memory(1, torch.Generator().manual_seed(3))
    assert_golden(network.generate(features, begin, memory), golden["generation"])


def test_the_first_version_equals_its_published_code(music, tmp_path):
    network, (features, _) = saved(first_version(), tmp_path), music
    assert_golden(network.encode(features), GOLDEN["first version"]["encoder"])
    memory = network.initial_memory(1, torch.Generator().manual_seed(3))
    made = network.generate(features, torch.from_numpy(FIRST_POSE), memory)
    assert_golden(made, GOLDEN["first version"]["generation"])


def test_published_checkpoints_load(published, tmp_path):
    path = tmp_path / "epoch_5500.pt"
    torch.save(published, path)
    network = load_original(path)
    weights = published["model"]
    assert network.config.window == 7
    assert parameters(network) == sum(w.numel() for n, w in weights.items() if "position_enc" not in n)
    # The decoder's first frame by hand, from the checkpoint's own numbers.
    gates = weights["module.decoder.lstm3.bias_ih"] + weights["module.decoder.lstm3.bias_hh"]
    enter, _, candidate, leave = gates.chunk(4)
    hidden = leave.sigmoid() * (enter.sigmoid() * candidate.tanh()).tanh()
    features, silent = torch.randn(1, 5, 6), network.initial_memory(1)
    silent = type(silent)(*(torch.zeros_like(part) for part in silent))
    music = network.encode(features)[0, 0]
    expected = weights["module.linear.weight"] @ torch.cat([hidden, music]) + weights["module.linear.bias"]
    torch.testing.assert_close(network.generate(features, torch.ones(4), silent)[0, 0], expected)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda c: c["model"].pop("module.linear.bias"), "linear.bias"),
        (lambda c: c["model"].update({"module.linear.bias": torch.zeros(7)}), "size mismatch for linear.bias"),
        (lambda c: c.pop("model"), "model"),
        (lambda c: delattr(c["args"], "n_head"), "n_head"),
        (lambda c: setattr(c["args"], "d_v", 3), "keys of 4"),
        (lambda c: c.pop("args"), "hyper_parameters"),
        (lambda c: c.update(args=np.float64), "tensors alone"),
    ],
)
def test_wrong_checkpoints_are_told_in_one_line(published, tmp_path, spoil, reason):
    spoil(published)
    path = tmp_path / "wrong.pt"
    torch.save(published, path)
    with pytest.raises(ValueError, match=reason) as error:
        load_original(path)
    assert str(error.value).startswith(f"{path}: not a checkpoint of the original network")
    assert "\n" not in str(error.value)


def test_weights_of_other_features_are_refused_and_older_checkpoints_are_of_version_2(tmp_path):
    network, path = tiny(), tmp_path / "original.ckpt"
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    for version in ({"feature_version": FEATURE_VERSION + 1}, {"feature_version": FEATURE_VERSION}, {}):
        content = {"state_dict": weights, "hyper_parameters": {"original": asdict(network.config)} | version}
        torch.save(content, path)
        if version.get("feature_version", 2) == FEATURE_VERSION:
            assert load_original(path).config == network.config
        else:
            with pytest.raises(ValueError, match="this program has") as error:
                load_original(path)
            assert "\n" not in str(error.value)


def test_files_of_another_kind_are_told_in_one_line(tmp_path):
    (tmp_path / "text.pt").write_text("no\ncheckpoint")
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("text.pt", "list.pt", "missing.pt"):
        with pytest.raises(ValueError, match="not a checkpoint of the original network") as error:
            load_original(tmp_path / name)
        assert "\n" not in str(error.value)
