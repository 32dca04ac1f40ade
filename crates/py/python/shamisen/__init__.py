"""Train and use neural networks on data that nobody sees, with the interface of scikit-learn.

>>> import shamisen
>>> classifier = shamisen.MLPClassifier(hidden_layer_sizes=(32,), max_iter=20)
>>> classifier.fit(X_train, y_train).score(X_test, y_test)

An estimator shares its rows among three parties, which train by the real protocol, here as three threads of this
process. Features, weights and predictions are secret shares to each of them; only what the documentation of the estimator
names is opened.
"""

from ._cluster import Cluster, DataSet, connect
from ._core import __version__
from ._estimate import Estimate, estimate
from ._estimators import MLPClassifier, MLPRegressor
from ._models import load, model_home
from ._revealed import RevealedModel

__all__ = [
    "Cluster",
    "DataSet",
    "Estimate",
    "MLPClassifier",
    "MLPRegressor",
    "RevealedModel",
    "__version__",
    "connect",
    "estimate",
    "load",
    "model_home",
]
