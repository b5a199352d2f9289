"""Dances kept as files: ``.npz``, BVH, VRM animation, MikuMikuDance motion, OpenPose key points and films."""
