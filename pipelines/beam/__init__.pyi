from .preprocess_audio import PreprocessAudio as PreprocessAudio
from .transforms import CutSegments as CutSegments
from .transforms import ExtractFeatures as ExtractFeatures
from .transforms import GlobalRange as GlobalRange
from .transforms import Normalise as Normalise
from .transforms import ReadAudio as ReadAudio
from .transforms import WriteTFRecords as WriteTFRecords
from .write_dataset import WriteDataset as WriteDataset
