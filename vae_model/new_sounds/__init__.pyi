from .generating import generate as generate
from .going_on import continue_sound as continue_sound
from .going_on import vary as vary
