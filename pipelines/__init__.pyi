from .audio.loading import Loader as Loader
from .audio.segments import Padder as Padder
from .audio.spectrogram import LogSpectrogramExtractor as LogSpectrogramExtractor
from .audio.spectrogram import MinMaxNormaliser as MinMaxNormaliser
from .beam.verify_on_beam import verify_dataset as verify_dataset
from .building.processing import PreprocessingPipeline as PreprocessingPipeline
from .building.savers import RecordSaver as RecordSaver
from .building.savers import Saver as Saver
from .dataset.facts import describe_dataset as describe_dataset
from .dataset.folder import open_dataset as open_dataset
from .dataset.torch_dataset import SpectrogramDataset as SpectrogramDataset
from .importing import import_npy as import_npy
from .runs.compacting import compact_dataset as compact_dataset
from .runs.pruning import prune_dataset as prune_dataset
from .update import preprocess as preprocess

__version__: str
