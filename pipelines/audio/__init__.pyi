from .loading import Loader as Loader
from .segments import Padder as Padder
from .spectrogram import LogSpectrogramExtractor as LogSpectrogramExtractor
from .spectrogram import MinMaxNormaliser as MinMaxNormaliser
