from .checking import check_dataset as check_dataset
from .facts import describe_dataset as describe_dataset
from .folder import Dataset as Dataset
from .folder import open_dataset as open_dataset
from .records import Record as Record
from .torch_dataset import SpectrogramDataset as SpectrogramDataset
