"""What is learned: skeleton, pose representation, feature definition, network, training, metrics.

Modules that import torch: :mod:`network`, :mod:`kinematics_torch`, :mod:`dataset`, :mod:`train`.
Everything else needs numpy alone, so that the live path never loads torch.
"""
