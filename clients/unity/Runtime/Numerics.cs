using UnityEngine;

namespace Dancerev {
    /// <summary>From the core's vectors, which know no engine, to Unity's; the space is the same.</summary>
    internal static class Numerics {
        public static Vector3 ToUnity(this System.Numerics.Vector3 v) => new Vector3(v.X, v.Y, v.Z);

        public static Quaternion ToUnity(this System.Numerics.Quaternion q) => new Quaternion(q.X, q.Y, q.Z, q.W);

        /// <summary>The bones of the skeleton, in its order, as Unity calls them.</summary>
        public static readonly HumanBodyBones[] HumanBones = System.Array.ConvertAll(
            Skeleton.Names, name => (HumanBodyBones)System.Enum.Parse(typeof(HumanBodyBones), name));
    }
}
