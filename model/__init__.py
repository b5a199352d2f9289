"""What everybody may import, with numpy alone: skeleton, rotations, poses, feature definition, file formats.

The rooms below need more: ``network``, ``training`` and ``beats`` torch, ``corpus`` and ``evaluation`` scipy.
"""
