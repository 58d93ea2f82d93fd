"""What `import mmrl` offers: configs from Python, training, sampling, evaluation. Users import it from `mmrl`, not from here."""
