"""The pages that people look at: on a model, a dataset, the demo, and the app."""
