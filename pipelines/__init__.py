"""The data side of audio-vae: audio files become a dataset of normalised log-spectrograms in TFRecord.

    from pipelines import preprocess

    update = preprocess("recordings/", "dataset/", preset="speech")
    print(update.dataset.num_examples)

`__init__.pyi` lists the public names; each is imported when it is first asked for, and with it what it needs.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
