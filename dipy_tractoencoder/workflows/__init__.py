"""Commands: one DIPY workflow each."""
