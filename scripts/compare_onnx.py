#!/usr/bin/env python3
"""Compares secure predictions with those of onnxruntime for the same network, and ends with status 1 if too many classes differ.

    scripts/compare_onnx.py DIR [--hidden 128,128] [--epochs 1] [--batch-size 128] [--seed 1]

DIR has the four IDX files of MNIST, gzipped or not. Trains under sharing on the training images, writes the revealed network as ONNX, and
predicts all test images both by secure prediction and in onnxruntime. At most one class in a thousand may differ, and only where
rounding explains it: secure prediction has probabilities with a small error, so that it may give the other of two classes whose
probabilities are as close as that. Each difference is printed with the gap of the two greatest probabilities. One whose gap is more than
twice the largest error of any probability is not explained, and ends with status 1 as well.

Needs the packages `shamisen`, `onnxruntime` and scikit-learn.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
from sklearn.exceptions import ConvergenceWarning

import shamisen

#: Largest part of the classes that may differ.
BOUND = 0.001


def main() -> int:
    chosen = arguments()
    images, labels = (read(chosen.directory, f"train-{kind}") for kind in ("images", "labels"))
    test_images, test_labels = (read(chosen.directory, f"t10k-{kind}") for kind in ("images", "labels"))
    classifier = shamisen.MLPClassifier(
        tuple(int(width) for width in chosen.hidden.split(",") if width),
        batch_size=chosen.batch_size,
        max_iter=chosen.epochs,
        n_iter_no_change=float("inf"),
        random_state=chosen.seed,
        verbose=True,
    )
    # So few epochs are not meant to converge.
    warnings.simplefilter("ignore", ConvergenceWarning)
    classifier.fit(images, labels)
    with tempfile.TemporaryDirectory() as place:
        model = Path(place) / "model.onnx"
        classifier.reveal().to_onnx(model)
        session = onnxruntime.InferenceSession(model)
        classes, in_the_clear = session.run(["label", "probabilities"], {"X": test_images.astype(np.float32)})
    under_sharing = classifier.predict_proba(test_images)
    secure_classes = classifier.predict(test_images)

    error = float(np.abs(under_sharing - in_the_clear).max())
    different = np.flatnonzero(classes != secure_classes)
    print(f"test images           {len(test_labels):,}")
    print(f"accuracy              {np.mean(secure_classes == test_labels):.2%} on shares, {np.mean(classes == test_labels):.2%} in onnxruntime")
    print(f"largest difference    {error:.6f} of a probability")
    print(f"other classes         {len(different)}, {len(different) / len(test_labels):.3%} (at most {BOUND:.1%})")
    unexplained = 0
    for image in different:
        second, first = np.sort(in_the_clear[image])[-2:]
        explained = first - second <= 2.0 * error
        unexplained += not explained
        print(
            f"image {image:<6}          {test_labels[image]}: {secure_classes[image]} on shares, {classes[image]} in onnxruntime, whose two greatest "
            f"probabilities {first:.6f} and {second:.6f} are {first - second:.6f} apart: "
            + ("within rounding" if explained else "NOT within rounding")
        )
    if unexplained:
        print(f"compare_onnx: rounding does not explain {unexplained} of the differences", file=sys.stderr)
    if len(different) > BOUND * len(test_labels):
        print(f"compare_onnx: {len(different)} of {len(test_labels)} classes differ, which is more than {BOUND:.1%}", file=sys.stderr)
        return 1
    return 1 if unexplained else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", metavar="DIR", type=Path, help="the four IDX files of MNIST")
    parser.add_argument("--hidden", default="128,128", help="widths of the hidden layers; by default 128,128")
    parser.add_argument("--epochs", type=int, default=1, help="by default 1")
    parser.add_argument("--batch-size", type=int, default=128, help="by default 128")
    parser.add_argument("--seed", type=int, default=1, help="by default 1")
    return parser.parse_args()


def read(directory: Path, stem: str) -> np.ndarray:
    """The labels of an IDX file, or its images, a row each."""
    dimensions = 3 if stem.endswith("images") else 1
    names = [f"{stem}{dash}idx{dimensions}-ubyte{end}" for dash in "-." for end in ("", ".gz")]
    found = next((directory / name for name in names if (directory / name).is_file()), None)
    if found is None:
        sys.exit(f"compare_onnx: {directory} has no {names[0]}: name the directory with the four files of MNIST")
    content = gzip.open(found).read() if found.suffix == ".gz" else found.read_bytes()
    sizes = np.frombuffer(content, dtype=">u4", count=1 + dimensions)
    if sizes[0] != 0x800 + dimensions or len(content) != 4 * len(sizes) + np.prod(sizes[1:], dtype=np.int64):
        sys.exit(f"compare_onnx: {found} is no IDX file of bytes with {dimensions} dimensions")
    values = np.frombuffer(content, dtype=np.uint8, offset=4 * len(sizes))
    return values if dimensions == 1 else values.reshape(sizes[1], -1).astype(np.float64)


if __name__ == "__main__":
    sys.exit(main())
