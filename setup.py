"""Packaging of audio-vae: the data side (`pipelines`) and the model side (`vae_model`)."""

import re
from pathlib import Path

from setuptools import find_packages, setup

PIPELINE = ["apache-beam>=2.70,<3", "tfx-bsl>=1.17"]
EXTRAS = {
    # Jobs on Beam: `preprocess` of more than a few shards, `verify`, `encode` on a runner.
    "pipeline": PIPELINE,
    # Containers and codecs that libsndfile does not read: m4a, aac, webm, wma.
    "formats": ["av>=14"],
    # `audio-vae export --onnx`, and what runs it.
    "onnx": ["onnx>=1.17", "onnxruntime>=1.20", "tf2onnx>=1.17"],
    # Datasets, models and audio on s3://, gs:// and http(s)://. botocore since 1.36 knows conditional writes.
    "s3": ["s3fs>=2025.2", "botocore>=1.36"],
    "gcs": ["gcsfs>=2025.2"],
    "http": ["aiohttp>=3.9"],
    # The web page of `audio-vae app`.
    "app": ["gradio>=6.10"],
    # `--runner DataflowRunner`, with audio and datasets on gs://.
    "dataflow": [*PIPELINE, "apache-beam[gcp]>=2.70,<3", "gcsfs>=2025.2"],
    # `audio-vae --print-completion`.
    "completion": ["shtab>=1.7"],
    # `pipelines.SpectrogramDataset`.
    "torch": ["torch>=2.2"],
    # examples/quickstart.ipynb.
    "notebook": ["ipykernel>=6.29", "matplotlib>=3.9"],
    # `make docs`.
    "docs": ["mkdocs-material>=9.7,<10", "mkdocstrings[python]>=1"],
    # What the tests and checks need.
    "dev": [
        *PIPELINE,
        "aiohttp>=3.9",
        "apache-beam[gcp]>=2.70,<3",
        "av>=14",
        "boto3>=1.36",
        "gcp-storage-emulator>=2026.7",
        "gcsfs>=2025.2",
        "gradio>=6.10",
        "hypothesis>=6.100",
        "ipykernel>=6.29",
        "jax>=0.4.36",
        "moto[server]>=5.1",
        "matplotlib>=3.9",
        "mypy>=1.15",
        "nbclient>=0.10",
        "onnx>=1.17",
        "onnxruntime>=1.20",
        "playwright>=1.50",
        "pytest>=8.3",
        "pytest-xdist>=3.6",
        "ruff>=0.12",
        "s3fs>=2025.2",
        "shtab>=1.7",
        "tf2onnx>=1.17",
        "types-PyYAML",
        "types-protobuf",
    ],
}

FACE = Path(__file__).with_name("pipelines").joinpath("__init__.py").read_text(encoding="utf-8")
VERSION = re.search(r'^__version__ = "(.+)"$', FACE, re.MULTILINE)

setup(
    name="audio-vae",
    version=VERSION[1],
    description="Turn a folder of audio into TFRecords with Apache Beam and learn a VAE of the sounds.",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["pipelines*", "vae_model*"]),
    package_data={
        "": ["*.pyi"],  # `lazy_loader` reads them
        "pipelines": ["py.typed"],
        "vae_model": [
            "py.typed",
            "report/blocks/*.html",
            "report/*.html",
            "report/*.css",
            "report/*.js",
            "playing/*.html",
            "playing/*.css",
            "playing/*.js",
        ],
    },
    python_requires=">=3.10,<3.14",
    # What needs no Beam: a model's sounds and latents, training, pages, small runs of `preprocess`.
    install_requires=[
        "fsspec>=2024.6",
        "google-crc32c>=1.6",
        "h5py>=3.12",
        "jinja2>=3.1",
        # What its safe mode refuses was tried: the versions left out fetch or unpack what a model file names.
        "keras>=3.12.4,!=3.13.*,!=3.14.*,!=3.15.0",
        "lazy_loader>=0.4",
        "librosa>=0.11,<1",
        "numba>=0.61",
        "numpy>=1.26",
        "pillow>=10.1",
        "protobuf>=5",
        "pyarrow>=18,<26",
        "pyyaml>=6",
        "scikit-learn>=1.5",
        "scipy>=1.13",
        "soundfile>=0.13",
        "soxr>=0.5",
        "tensorboard>=2.20",
        "tensorflow>=2.20",
        "tensorflow-metadata>=1.17",
        "threadpoolctl>=3",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["audio-vae=vae_model.cli:main"]},
)
