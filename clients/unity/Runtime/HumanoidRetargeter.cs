using System;
using System.Collections.Generic;
using UnityEngine;

namespace Dancerev {
    /// <summary>Moves one humanoid avatar, whatever its proportions and however its bones are turned at rest.</summary>
    internal sealed class HumanoidRetargeter : IDisposable {
        private readonly Animator _animator;
        private readonly Avatar _avatar;
        private readonly Transform _hips;
        private readonly float _scale; // avatar's hips height / dancer's
        private readonly int[] _muscles; // of the body; eyes and jaw are left alone
        private readonly int[] _fingers; // muscles too, moved only if the sender sends fingers
        private readonly FaceShapes _face;
        private readonly ReferenceRig _reference;
        private readonly HumanPoseHandler _handler;
        private HumanPose _dance;
        private HumanPose _pose;

        /// <summary>A retargeter for an avatar in which <see cref="ProblemOf"/> finds no problem.</summary>
        public HumanoidRetargeter(Animator animator) {
            _animator = animator;
            _avatar = animator.avatar;
            _hips = animator.GetBoneTransform(HumanBodyBones.Hips);
            _scale = RestHeight(animator, _hips) / Skeleton.RestOffsets[0].Y;
            _muscles = Muscles(0, Skeleton.BodyCount);
            _fingers = Muscles(Skeleton.BodyCount, Skeleton.Count);
            _face = new FaceShapes(animator);
            _reference = new ReferenceRig(animator);
            _handler = new HumanPoseHandler(_avatar, animator.transform);
        }

        /// <summary>Why an animator cannot dance, in words for the user; null if it can.</summary>
        public static string ProblemOf(Animator animator) {
            if (animator == null) return "No avatar: drag an Animator into the field.";
            if (animator.avatar == null || !animator.avatar.isValid || !animator.avatar.isHuman) {
                return animator.name + " is not humanoid: set Rig > Animation Type to Humanoid in its import settings.";
            }
            foreach (HumanBodyBones bone in Numerics.HumanBones) {
                if (HumanTrait.RequiredBone((int)bone) && animator.GetBoneTransform(bone) == null) {
                    return animator.name + " hides its bones: switch Optimize Game Objects off in its import settings.";
                }
            }
            return null;
        }

        /// <summary>Whether this moves that animator, with the avatar it has now.</summary>
        public bool Holds(Animator animator) => animator != null && _animator == animator && _avatar == animator.avatar;

        /// <summary>Takes the pose of a body, with the hips at a place of its own (metres of the dancer).</summary>
        public void Apply(WorldBody body, System.Numerics.Vector3 hips) {
            Transform root = _animator.transform;
            Vector3 position = root.position;
            Quaternion rotation = root.rotation;
            _reference.Read(body, root, ref _dance);
            _handler.GetHumanPose(ref _pose);
            Copy(_muscles);
            if (body.HasFingers) Copy(_fingers);
            _pose.bodyPosition = _dance.bodyPosition;
            _pose.bodyRotation = _dance.bodyRotation;
            _handler.SetHumanPose(ref _pose);
            // Unity places a body by its centre of mass, and may move the root for it. Placed by its hips, the avatar
            // puts its feet where the dancer does.
            Quaternion turned = _hips.rotation;
            root.SetPositionAndRotation(position, rotation);
            _hips.SetPositionAndRotation(root.TransformPoint(hips.ToUnity() * _scale), turned);
            if (body.HasFace) _face.Show(body.Faces);
        }

        /// <summary>Lets the avatar go, in the pose it has.</summary>
        public void Dispose() {
            _handler.Dispose();
            _reference.Dispose();
        }

        private void Copy(int[] muscles) {
            foreach (int muscle in muscles) {
                _pose.muscles[muscle] = _dance.muscles[muscle];
            }
        }

        private static int[] Muscles(int first, int end) {
            var muscles = new List<int>();
            for (int bone = first; bone < end; bone++) {
                for (int axis = 0; axis < 3; axis++) {
                    int muscle = HumanTrait.MuscleFromBone((int)Numerics.HumanBones[bone], axis);
                    if (muscle >= 0) muscles.Add(muscle);
                }
            }
            return muscles.ToArray();
        }

        /// <summary>Height of the hips above the avatar's origin in its T-pose, in the avatar's own units.</summary>
        private static float RestHeight(Animator animator, Transform hips) {
            var rest = new Dictionary<string, SkeletonBone>();
            foreach (SkeletonBone bone in animator.avatar.humanDescription.skeleton ?? new SkeletonBone[0]) {
                rest[bone.name] = bone;
            }
            Vector3 point = Vector3.zero;
            for (Transform at = hips; at != null && at != animator.transform; at = at.parent) {
                point = rest.TryGetValue(at.name, out SkeletonBone bone)
                    ? bone.position + bone.rotation * Vector3.Scale(bone.scale, point)
                    : at.localPosition + at.localRotation * Vector3.Scale(at.localScale, point);
            }
            return point.y > 0f ? point.y : animator.humanScale; // an origin at the hips says nothing of their height
        }
    }
}
