using System;
using System.Numerics;

namespace Dancerev {
    /// <summary>One body in the world (left-handed, Y up, metres, facing +Z at rest).</summary>
    internal sealed class WorldBody {
        /// <summary>Each joint in the world, metres.</summary>
        public readonly Vector3[] Positions = new Vector3[Skeleton.Count];

        /// <summary>Each bone's unit quaternion in the world: its difference from the T-pose.</summary>
        public readonly Quaternion[] Rotations = new Quaternion[Skeleton.Count];

        /// <summary>Weights of <see cref="Expressions"/>, 0 to 1.</summary>
        public readonly float[] Faces = new float[Expressions.Count];

        /// <summary>Whether the sender sends fingers; without, theirs are straight.</summary>
        public bool HasFingers { get; private set; }

        /// <summary>Whether the sender sends expressions.</summary>
        public bool HasFace { get; private set; }

        /// <summary>Becomes the body of <paramref name="pose"/>, with the bone lengths that the sender gives.</summary>
        public void Set(LocalPose pose) {
            HasFingers = pose.HasFingers;
            HasFace = pose.HasFace;
            Array.Copy(pose.Faces, Faces, Expressions.Count);
            for (int bone = 0; bone < Skeleton.Count; bone++) {
                int parent = Skeleton.Parents[bone];
                Quaternion above = parent < 0 ? pose.Turn : Rotations[parent];
                Vector3 start = parent < 0 ? pose.Root : Positions[parent];
                Rotations[bone] = Quaternion.Normalize(above * pose.Rotations[bone]);
                Positions[bone] = start + Vector3.Transform(pose.Offsets[bone], above);
            }
        }

        /// <summary>Becomes its own reflection in the plane x = 0: left and right change places.</summary>
        public void Mirror() {
            for (int bone = 0; bone < Skeleton.Count; bone++) {
                int other = Skeleton.Mirror[bone];
                if (other < bone) continue; // this pair has been exchanged
                Vector3 position = Reflect(Positions[bone]);
                Positions[bone] = Reflect(Positions[other]);
                Positions[other] = position;
                Quaternion rotation = Reflect(Rotations[bone]);
                Rotations[bone] = Reflect(Rotations[other]);
                Rotations[other] = rotation;
            }
        }

        private static Vector3 Reflect(Vector3 position) => new Vector3(-position.X, position.Y, position.Z);

        private static Quaternion Reflect(Quaternion rotation) {
            return new Quaternion(rotation.X, -rotation.Y, -rotation.Z, rotation.W);
        }
    }
}
