"""Trains scikit-learn's MLPClassifier for one epoch and prints how long that took, as JSON.

`shamisen bench versus-sklearn` runs it. With --versions it prints what is installed, and ends with status 3 if
scikit-learn is missing.
"""

import os

# Before NumPy is imported: its libraries read them once.
for name in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "VECLIB_MAXIMUM"):
    os.environ[name + "_NUM_THREADS"] = "1"

import argparse
import json
import platform
import sys
import time
import warnings

try:
    import numpy
    import sklearn
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
except ImportError:
    sys.exit(3)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--versions", action="store_true")
    parser.add_argument("--features", help="little-endian float64, row after row")
    parser.add_argument("--labels", help="little-endian float64, the number of each row's class")
    parser.add_argument("--columns", type=int)
    parser.add_argument("--hidden", default="", help="widths of the hidden layers, such as 128,128")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--solver", choices=["adam", "sgd"])
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main():
    chosen = arguments()
    if chosen.versions:
        versions = {
            "python": platform.python_version(),
            "numpy": numpy.__version__,
            "scikit_learn": sklearn.__version__,
        }
        print(json.dumps(versions))
        return
    features = numpy.fromfile(chosen.features, dtype="<f8").reshape(-1, chosen.columns)
    labels = numpy.fromfile(chosen.labels, dtype="<f8").astype(numpy.int64)
    model = MLPClassifier(
        hidden_layer_sizes=tuple(int(width) for width in chosen.hidden.split(",") if width),
        activation="relu",
        solver=chosen.solver,
        alpha=0.0,
        batch_size=chosen.batch_size,
        learning_rate="constant",
        learning_rate_init=chosen.learning_rate,
        momentum=0.0,
        nesterovs_momentum=False,
        max_iter=1,
        shuffle=True,
        early_stopping=False,
        random_state=chosen.seed,
    )
    # One epoch is not meant to converge.
    warnings.simplefilter("ignore", ConvergenceWarning)
    start = time.perf_counter()
    model.fit(features, labels)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "iterations": model.n_iter_, "loss": model.loss_}))


main()
