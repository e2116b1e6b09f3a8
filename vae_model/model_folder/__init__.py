"""The model folder: settings, bundle, history and outputs, read and written without TensorFlow."""
