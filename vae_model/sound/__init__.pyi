from .generator import SoundGenerator as SoundGenerator
from .inverter import Inverter as Inverter
from .making import decode as decode
from .making import interpolate as interpolate
from .reconstruction import reconstruct as reconstruct
