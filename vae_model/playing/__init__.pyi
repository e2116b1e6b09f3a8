from .app import open_app as open_app
