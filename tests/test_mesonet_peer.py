"""The peer for pictures: its published size, its published weights in their places, scores towards fake."""

import hashlib

import h5py
import numpy as np
import pandas as pd
import pytest

from dfutils import InputError, mesonet_peer
from dfutils.errors import IntegrityError
from dfutils.images import write_image
from dfutils.mesonet_peer import build_mesonet, find_peers, load_mesonet, score_faces


@pytest.mark.parametrize(("inception", "n_trainable"), [(False, 27_977), (True, 28_615)])
def test_size_is_the_published_one(inception, n_trainable):
    model = build_mesonet(inception)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == n_trainable


def write_stored(path, model, monkeypatch, first_number=5):
    """Store weights as the authors' file does: layers numbered on, listed in another order."""
    counts, names = dict.fromkeys(mesonet_peer._KINDS, first_number), []
    with h5py.File(path, "w") as file:
        for layer in mesonet_peer._in_order(model):
            kind = mesonet_peer._kind_of(layer)
            if kind not in counts:
                continue
            name = f"{kind}_{counts[kind]}"
            counts[kind] += 1
            group, own = file.create_group(name), [f"{name}/{weight.name}:0" for weight in layer.weights]
            for key, value in zip(own, layer.get_weights()):
                group[key] = value
            group.attrs["weight_names"] = own
            names.append(name.encode())
        file.attrs["layer_names"] = names[::-1]
    monkeypatch.setitem(mesonet_peer.PEERS, path.stem, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("name", ["Meso4_DF", "MesoInception_F2F"])
def test_stored_weights_land_in_their_layers(name, tmp_path, monkeypatch):
    published = build_mesonet("Inception" in name)
    generator = np.random.default_rng(1)
    published.set_weights([generator.uniform(0.05, 0.3, w.shape) for w in published.get_weights()])
    path = tmp_path / f"{name}.h5"
    write_stored(path, published, monkeypatch)
    loaded = load_mesonet(path)
    picture = generator.random((1, 256, 256, 3)).astype("float32")
    for ours, theirs in zip(loaded.get_weights(), published.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(loaded.predict(picture, verbose=0), published.predict(picture, verbose=0))
    path.write_bytes(path.read_bytes() + b"0")
    with pytest.raises(IntegrityError):
        load_mesonet(path)
    with pytest.raises(InputError, match="must be one of"):
        load_mesonet(tmp_path / "other.h5")


def test_scores_are_log_odds_of_fake(tmp_path):
    paths = []
    for level in (20, 120, 220):
        paths.append(str(write_image(tmp_path / f"{level}.png", np.full((256, 256, 3), level, np.uint8))))
    table = pd.DataFrame({"path": paths, "label": [0, 1, 0], "person": "p", "dataset": "tests"})
    model = build_mesonet(False)
    real = [
        model.predict(np.full((1, 256, 256, 3), v / 255, "float32"), verbose=0)[0, 0] for v in (20, 120, 220)
    ]
    found = score_faces(model, table, batch_size=2)
    np.testing.assert_allclose(1 / (1 + np.exp(found)), real, atol=1e-5)


def test_weights_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.delenv("DFUTILS_WEIGHTS", raising=False)
    assert find_peers() == {}
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "Meso4_F2F.h5").touch()
    monkeypatch.setenv("DFUTILS_WEIGHTS", str(tmp_path))
    assert list(find_peers()) == ["Meso4_F2F"]
