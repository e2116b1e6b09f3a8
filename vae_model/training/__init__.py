"""From records to a trained model, stopped and resumed at any step."""
