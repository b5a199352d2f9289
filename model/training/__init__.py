"""Training of the networks on a prepared corpus: ``dancerev-train``. Needs torch and lightning."""
