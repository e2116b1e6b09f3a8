"""How good a model is: errors, posterior, probes, and predictors that learn nothing deep."""
