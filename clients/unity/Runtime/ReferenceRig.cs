using System;
using System.Collections.Generic;
using UnityEngine;

namespace Dancerev {
    /// <summary>
    /// An unseen humanoid with the dancer's own bones. Unity reads the dance off it in muscle values, which mean the
    /// same on every rig; rotations do not, as rigs differ in how their bones are turned at rest.
    /// </summary>
    internal sealed class ReferenceRig : IDisposable {
        private readonly GameObject _object;
        private readonly Avatar _avatar;
        private readonly HumanPoseHandler _handler;
        private readonly List<Transform> _transforms = new List<Transform>();
        private readonly List<int> _sources = new List<int>(); // the bone whose rotation each transform takes

        /// <summary>A rig that has those of the dancer's bones that <paramref name="model"/> has.</summary>
        public ReferenceRig(Animator model) {
            _object = new GameObject("Dancerev reference rig") { hideFlags = HideFlags.HideAndDontSave };
            var human = new List<HumanBone>();
            var skeleton = new List<SkeletonBone> { AtRest(_object.transform) };
            var bones = new Transform[Skeleton.Count];
            for (int bone = 0; bone < Skeleton.Count; bone++) {
                HumanBodyBones name = Numerics.HumanBones[bone];
                if (model.GetBoneTransform(name) == null) continue;
                bones[bone] = Grow(bones, bone);
                var mapped = new HumanBone {
                    boneName = Skeleton.Names[bone],
                    humanName = HumanTrait.BoneName[(int)name],
                    limit = new HumanLimit { useDefaultValues = true },
                };
                human.Add(mapped);
                skeleton.Add(AtRest(bones[bone]));
            }
            for (int bone = 0; bone < Skeleton.Count; bone++) {
                if (bones[bone] == null) continue;
                _transforms.Add(bones[bone]);
                _sources.Add(Source(bones, bone));
            }
            var description = new HumanDescription {
                human = human.ToArray(),
                skeleton = skeleton.ToArray(),
                upperArmTwist = 0.5f,
                lowerArmTwist = 0.5f,
                upperLegTwist = 0.5f,
                lowerLegTwist = 0.5f,
                armStretch = 0.05f,
                legStretch = 0.05f,
            };
            _avatar = AvatarBuilder.BuildHumanAvatar(_object, description);
            _avatar.hideFlags = HideFlags.HideAndDontSave;
            if (!_avatar.isValid || !_avatar.isHuman) {
                Remove();
                throw new InvalidOperationException("Unity takes the bones of " + model.name + " for no humanoid's.");
            }
            _handler = new HumanPoseHandler(_avatar, _object.transform);
        }

        /// <summary>Stands where <paramref name="root"/> stands, dances, and writes what Unity sees of it.</summary>
        public void Read(WorldBody body, Transform root, ref HumanPose pose) {
            // With both roots turned alike, it does not matter whether Unity means a pose in the world or in the root.
            _object.transform.SetPositionAndRotation(root.position, root.rotation);
            for (int i = 0; i < _transforms.Count; i++) {
                _transforms[i].rotation = root.rotation * body.Rotations[_sources[i]].ToUnity();
            }
            _handler.GetHumanPose(ref pose);
        }

        /// <summary>Takes the rig out of the scene.</summary>
        public void Dispose() {
            _handler.Dispose();
            Remove();
        }

        private void Remove() {
            UnityEngine.Object.Destroy(_avatar);
            UnityEngine.Object.Destroy(_object);
        }

        private Transform Grow(Transform[] bones, int bone) {
            Vector3 offset = Skeleton.RestOffsets[bone].ToUnity();
            int parent = Skeleton.Parents[bone];
            while (parent >= 0 && bones[parent] == null) {
                offset += Skeleton.RestOffsets[parent].ToUnity();
                parent = Skeleton.Parents[parent];
            }
            Transform grown = new GameObject(Skeleton.Names[bone]) { hideFlags = HideFlags.HideAndDontSave }.transform;
            grown.SetParent(parent < 0 ? _object.transform : bones[parent], false);
            grown.localPosition = offset;
            return grown;
        }

        /// <summary>A spine that lacks its upper bones turns as they would, so that the shoulders go along.</summary>
        private static int Source(Transform[] bones, int bone) {
            int source = bone;
            int upperChest = Skeleton.IndexOf("UpperChest");
            if (bone < Skeleton.IndexOf("Spine") || bone > upperChest) return bone;
            while (source < upperChest && bones[source + 1] == null) {
                source++;
            }
            return source;
        }

        private static SkeletonBone AtRest(Transform bone) {
            return new SkeletonBone {
                name = bone.name,
                position = bone.localPosition,
                rotation = Quaternion.identity,
                scale = Vector3.one,
            };
        }
    }
}
