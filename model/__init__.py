"""What is learned: skeleton, pose representation, feature definition, corpus, network, training, metrics.

Modules that need torch: ``network``, ``body_loss``, ``free_run``, ``checkpoint``, ``train``, ``original``,
``train_original``, ``generate_original``, ``beat_loss`` and ``train_beat``. All others need numpy alone (those that
prepare a corpus, scipy too), so that the live path never loads torch.
"""
