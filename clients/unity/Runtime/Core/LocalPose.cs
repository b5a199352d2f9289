using System;
using System.Numerics;

namespace Dancerev {
    /// <summary>One body as it is sent: every bone in its parent's frame (left-handed, Y up, metres).</summary>
    internal sealed class LocalPose {
        /// <summary>Each bone's joint, from its parent's; of a bone that was not sent, zero.</summary>
        public readonly Vector3[] Offsets = new Vector3[Skeleton.Count];

        /// <summary>Each bone's unit quaternion: its difference from the T-pose.</summary>
        public readonly Quaternion[] Rotations = new Quaternion[Skeleton.Count];

        /// <summary>Weights of <see cref="Expressions"/>, 0 to 1.</summary>
        public readonly float[] Faces = new float[Expressions.Count];

        /// <summary>A pose of identity rotations in which all joints are at the origin.</summary>
        public LocalPose() {
            Clear();
        }

        /// <summary>Seconds by the sender's clock.</summary>
        public double Time { get; set; }

        /// <summary>Where the avatar stands in the world.</summary>
        public Vector3 Root { get; set; }

        /// <summary>Unit quaternion: how the avatar is turned in the world.</summary>
        public Quaternion Turn { get; set; }

        /// <summary>Whether the sender sends fingers.</summary>
        public bool HasFingers { get; set; }

        /// <summary>Whether the sender sends expressions.</summary>
        public bool HasFace { get; set; }

        /// <summary>Back to identity rotations and joints at the origin.</summary>
        public void Clear() {
            Time = 0.0;
            Root = Vector3.Zero;
            Turn = Quaternion.Identity;
            HasFingers = HasFace = false;
            Array.Clear(Faces, 0, Expressions.Count);
            for (int bone = 0; bone < Skeleton.Count; bone++) {
                Offsets[bone] = Vector3.Zero;
                Rotations[bone] = Quaternion.Identity;
            }
        }

        /// <summary>Becomes equal to <paramref name="other"/>.</summary>
        public void CopyFrom(LocalPose other) {
            Time = other.Time;
            Root = other.Root;
            Turn = other.Turn;
            HasFingers = other.HasFingers;
            HasFace = other.HasFace;
            Array.Copy(other.Faces, Faces, Expressions.Count);
            Array.Copy(other.Offsets, Offsets, Skeleton.Count);
            Array.Copy(other.Rotations, Rotations, Skeleton.Count);
        }

        /// <summary>
        /// Becomes the pose <paramref name="amount"/> (0 to 1) of the way from <paramref name="from"/> to
        /// <paramref name="to"/>: rotations along the shorter arc, positions along the line.
        /// </summary>
        public void Interpolate(LocalPose from, LocalPose to, float amount) {
            Time = from.Time + (to.Time - from.Time) * amount;
            Root = Vector3.Lerp(from.Root, to.Root, amount);
            Turn = Between(from.Turn, to.Turn, amount);
            HasFingers = to.HasFingers;
            HasFace = to.HasFace;
            for (int i = 0; i < Expressions.Count; i++) {
                Faces[i] = from.Faces[i] + (to.Faces[i] - from.Faces[i]) * amount;
            }
            for (int bone = 0; bone < Skeleton.Count; bone++) {
                Offsets[bone] = Vector3.Lerp(from.Offsets[bone], to.Offsets[bone], amount);
                Rotations[bone] = Between(from.Rotations[bone], to.Rotations[bone], amount);
            }
        }

        private static Quaternion Between(Quaternion from, Quaternion to, float amount) {
            return Quaternion.Normalize(Quaternion.Slerp(from, to, amount));
        }
    }
}
